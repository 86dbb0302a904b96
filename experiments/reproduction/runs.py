"""Runs of the systems, and their predictions on test slices: both are kept, and none is made twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from experiments.reproduction.plan import EXPLAINED, JCS, MASKED, Preset, System, config_of
from experiments.workspace import Workspace, train_missing
from numpy.typing import NDArray
from torch import nn

from jcs_ct import preprocessing
from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.normalized import NormalizedSlice, normalize_slice
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source
from jcs_ct.errors import UsageError
from jcs_ct.models import registry
from jcs_ct.models.joint import JointPrediction
from jcs_ct.training.config import BatchGroup, TrainConfig
from jcs_ct.training.files import load_weights
from jcs_ct.weights import SHIPPED

SOURCE = "covid-19-ct100"


@dataclass(frozen=True)
class Reproduction(Workspace):
    """The workspace of a reproduction, with its preset."""

    preset: Preset = field(kw_only=True)
    precision: str = "32-true"

    @property
    def folder(self) -> Path:
        """Folder of this preset."""
        return self.output / self.preset.name


@dataclass(frozen=True)
class HeldOutSlice:
    """One test slice with what is known of it."""

    record: SliceRecord
    normal: NormalizedSlice
    truth: NDArray[np.bool_]


def held_out_slices(reproduction: Reproduction, fold: str | None = None) -> list[HeldOutSlice]:
    """The 48 test slices of the 50/48 split, or those of a fold, at their own resolution; at most `preset.slices`."""
    records = read_source(SOURCE, reproduction.data)
    if fold is not None:
        records = refolded(records, Fold.parse(fold))
    records = [record for record in records if record.split == "test"][: reproduction.preset.slices]
    out = []
    for record in records:
        normal = normalize_slice(record, reproduction.preset.input_size)
        if normal.mask is None:
            raise UsageError(f"{record.path}: found no mask, expected one as it is a test slice")
        out.append(HeldOutSlice(record, normal, normal.mask))
    return out


def starts(reproduction: Reproduction, seed: int) -> dict[str, Path]:
    """Weights that systems start from: ImageNet's at the preset's width, and ours for continued training."""
    found: dict[str, Path] = {}
    if reproduction.imagenet is not None:
        found["encoder"] = _warm_start("encoder", {"imagenet": reproduction.imagenet}, 1, reproduction)
        if steps := reproduction.preset.backbone_steps:
            found["backbone"] = _warm_start("backbone", {"encoder": found["encoder"]}, steps, reproduction)
    if reproduction.preset.size == "default":
        found["classifier"] = SHIPPED / "classifier.safetensors"
    own = reproduction.output / _name(JCS, seed, reproduction) / "segmenter.safetensors"
    if own.exists():
        found["segmenter"] = own
    return found


def _warm_start(task: str, init: dict[str, Path], steps: int, reproduction: Reproduction) -> Path:
    """Initial weights that several systems share, made once."""
    preset = reproduction.preset
    batch = (BatchGroup(12, tuple(sorted({name for group in EXPLAINED for name in group.sources}))),)
    config = TrainConfig(
        task, (MASKED,) if task == "encoder" else batch, steps, preset.size, preset.input_size,
        learning_rate=3e-3, validate_every=steps, validation=("sars-cov-2-ct",) if task == "backbone" else (),
        init={part: str(path) for part, path in init.items()},
    )  # fmt: skip
    train_missing({f"{preset.name}/{task}": config}, reproduction, f"common {task}")
    return reproduction.folder / task / f"{task}.safetensors"


def needs_segmenter(system: System) -> bool:
    """Whether a system starts from our finished segmenter."""
    return system.name == "joint" or system.continued


def train_all(runs: Iterable[tuple[System, int]], reproduction: Reproduction, title: str) -> None:
    """Train all systems and seeds that are missing; see `train_missing`.

    Raises:
        UsageError: there is a run with other settings.
    """
    runs = list(runs)
    if waiting := [run for run in runs if needs_segmenter(run[0]) and not finished(*run, reproduction)]:
        train_all(((JCS, seed) for _, seed in waiting), reproduction, title)
    for some in ([run for run in runs if run not in waiting], waiting):
        train_missing({_name(*run, reproduction): _config(*run, reproduction) for run in some}, reproduction, title)


def trained(system: System, seed: int, reproduction: Reproduction) -> Path:
    """Folder of a finished run of one system: found, resumed, or made."""
    train_all([(system, seed)], reproduction, system.label)
    return reproduction.output / _name(system, seed, reproduction)


def finished(system: System, seed: int, reproduction: Reproduction) -> bool:
    """Whether a run is complete."""
    return (reproduction.output / _name(system, seed, reproduction) / "summary.json").exists()


def _name(system: System, seed: int, reproduction: Reproduction) -> str:
    return f"{reproduction.preset.name}/runs/{system.key}-seed{seed}"


def _config(system: System, seed: int, reproduction: Reproduction) -> TrainConfig:
    return config_of(system, reproduction.preset, seed, starts(reproduction, seed), reproduction.precision)


def network_of(system: System, preset: Preset) -> nn.Module:
    """The network of a system with random weights."""
    return registry.build(system.name, preset.size)


def predictions(
    system: System, seed: int, reproduction: Reproduction, slices: list[HeldOutSlice]
) -> list[NDArray[np.uint8]]:
    """Lesion probability (H, W) of every test slice as 0..255, at its own resolution, without postprocessing.

    Cached beside the run.
    """
    folder = trained(system, seed, reproduction)
    kept = folder / f"test{len(slices)}.npz"
    if not kept.exists():
        network = network_of(system, reproduction.preset).eval()
        load_weights(network, folder / ("joint.safetensors" if system.name == "joint" else "segmenter.safetensors"))
        partial = kept.with_suffix(".partial.npz")
        np.savez_compressed(partial, *(_predicted(network, one, reproduction.preset) for one in slices))
        partial.replace(kept)
    with np.load(kept) as arrays:
        return [arrays[f"arr_{k}"] for k in range(len(slices))]


@torch.inference_mode()
def _predicted(network: nn.Module, one: HeldOutSlice, preset: Preset) -> NDArray[np.uint8]:
    crop = preprocessing.crop_resize(one.normal.image, one.normal.box, preset.input_size)
    output = network(torch.from_numpy(crop.copy())[None, None].float() / 255)
    if isinstance(output, JointPrediction):
        output = output.segmentation
    patch = torch.sigmoid(output.logits)[0, 0].numpy()
    height, width = one.truth.shape
    full = preprocessing.paste_back(patch, one.normal.box, (height, width))
    return np.asarray((full * 255).round().astype(np.uint8))


def summary_of(folder: Path) -> dict[str, object]:
    """A run's summary."""
    found: dict[str, object] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found
