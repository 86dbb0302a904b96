"""Training what is not trained yet, and predicting what is not predicted yet: both are kept and picked up again."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from experiments.reproduction.plan import EXPLAINED, JCS, MASKED, Preset, System, config_of
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from jcs_ct import preprocessing
from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.normalized import NormalizedSlice, normalize_slice
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source
from jcs_ct.errors import UsageError
from jcs_ct.models import registry
from jcs_ct.models.joint import JointPrediction
from jcs_ct.training.config import BatchGroup, TrainConfig, load_config
from jcs_ct.training.run import RunPaths, load_weights, train
from jcs_ct.weights import SHIPPED

LOG = logging.getLogger(__name__)
SOURCE = "covid-19-ct100"


@dataclass(frozen=True)
class Place:
    """Where a reproduction reads and writes, and on what it computes."""

    data: Path
    output: Path
    preset: Preset
    imagenet: Path | None
    device: str = "cpu"
    devices: int = 1
    precision: str = "32-true"
    workers: int = 1
    """Trainings side by side, on a CPU."""

    @property
    def folder(self) -> Path:
        """Of this preset."""
        return self.output / self.preset.name


@dataclass(frozen=True)
class HeldOutSlice:
    """One test slice with what is known of it."""

    record: SliceRecord
    normal: NormalizedSlice
    truth: NDArray[np.bool_]


def held_out_slices(place: Place, fold: str | None = None) -> list[HeldOutSlice]:
    """The 48 test slices of the 50/48 split, or those of a fold (or as many as the preset looks at).

    At their own resolution.
    """
    records = read_source(SOURCE, place.data)
    if fold is not None:
        records = refolded(records, Fold.parse(fold))
    records = [record for record in records if record.split == "test"][: place.preset.slices]
    out = []
    for record in records:
        normal = normalize_slice(record, place.preset.input_size)
        if normal.mask is None:
            raise UsageError(f"{record.path}: found no mask, expected one as it is a test slice")
        out.append(HeldOutSlice(record, normal, normal.mask))
    return out


def starts(place: Place, seed: int) -> dict[str, Path]:
    """Weights that systems start from: of ImageNet, at the preset's width, and ours for what learns on."""
    found: dict[str, Path] = {}
    if place.imagenet is not None:
        found["encoder"] = _warm_start("encoder", {"imagenet": place.imagenet}, 1, place)
        if steps := place.preset.backbone_steps:
            found["backbone"] = _warm_start("backbone", {"encoder": found["encoder"]}, steps, place)
    if place.preset.size == "default":
        found["classifier"] = SHIPPED / "classifier.safetensors"
    own = _folder(JCS, seed, place) / "segmenter.safetensors"
    if own.exists():
        found["segmenter"] = own
    return found


def _warm_start(task: str, init: dict[str, Path], steps: int, place: Place) -> Path:
    """Weights that several systems share the start from, made once."""
    preset, folder = place.preset, place.folder / task
    weights = folder / f"{task}.safetensors"
    if not weights.exists():
        batch = (BatchGroup(12, tuple(sorted({name for group in EXPLAINED for name in group.sources}))),)
        config = TrainConfig(
            task, (MASKED,) if task == "encoder" else batch, steps, preset.size, preset.input_size,
            learning_rate=3e-3, validate_every=steps, validation=("sars-cov-2-ct",) if task == "backbone" else (),
            init={part: str(path) for part, path in init.items()},
        )  # fmt: skip
        LOG.info("training the common %s, %d steps", task, steps)
        train(config, RunPaths(place.data, folder, place.output / "cache"), place.device, resume=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return weights


def needs_segmenter(system: System) -> bool:
    """Whether a system starts from our finished segmenter."""
    return system.name == "joint" or system.continued


def train_all(runs: Iterable[tuple[System, int]], place: Place, title: str) -> None:
    """Train all runs that are missing, `place.workers` side by side, with a progress bar.

    Small networks keep one core busy, not many: two processes of one thread take less time than one of two threads.
    """
    runs = [run for run in runs if not finished(*run, place)]
    if place.workers == 1 or len(runs) < 2:
        for system, seed in tqdm(runs, desc=title, disable=not sys.stderr.isatty()):
            trained(system, seed, place)
        return
    starts(place, 0)  # what all share is made once, before they are told apart
    first = [run for run in runs if not needs_segmenter(run[0])]
    threads = max(1, len(os.sched_getaffinity(0)) // place.workers)
    spawned = get_context("spawn")  # a fork beside the threads of torch can wait for ever
    pool = ProcessPoolExecutor(place.workers, spawned, torch.set_num_threads, (threads,))
    with pool, tqdm(total=len(runs), desc=title, disable=not sys.stderr.isatty()) as bar:
        for some in (first, [run for run in runs if run not in first]):
            for one in as_completed([pool.submit(trained, system, seed, place) for system, seed in some]):
                one.result()
                bar.update()


def _folder(system: System, seed: int, place: Place) -> Path:
    return place.folder / "runs" / f"{system.key}-seed{seed}"


def finished(system: System, seed: int, place: Place) -> bool:
    """Whether a run is there, whole."""
    return (_folder(system, seed, place) / "summary.json").exists()


def trained(system: System, seed: int, place: Place) -> Path:
    """Folder of a finished run of one system: found, resumed, or made.

    Raises:
        UsageError: there is a run of other settings.
    """
    folder = _folder(system, seed, place)
    if needs_segmenter(system):
        trained(JCS, seed, place)
    first = starts(place, seed)
    config = config_of(system, place.preset, seed, first, place.precision)
    if (folder / "config.yaml").exists() and _settings(load_config(folder / "config.yaml")) != _settings(config):
        raise UsageError(f"{folder} holds a run of other settings; move it away to train with these")
    if not finished(system, seed, place):
        LOG.info("training %s, seed %d, %d steps", system.label, seed, config.steps)
        paths = RunPaths(place.data, folder, place.output / "cache")
        train(config, paths, place.device, resume=True, devices=place.devices)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # hundreds of MB each, and the run is finished
    return folder


def _settings(config: TrainConfig) -> TrainConfig:
    """Without the folders of its first weights, which are elsewhere on another machine or in another copy."""
    return dataclasses.replace(config, init={part: Path(path).name for part, path in config.init.items()})


def network_of(system: System, preset: Preset) -> nn.Module:
    """The network of a system with random weights."""
    return registry.build(system.name, preset.size)


def predictions(system: System, seed: int, place: Place, slices: list[HeldOutSlice]) -> list[NDArray[np.uint8]]:
    """Lesion probability (H, W) of every test slice as 0..255, at its own resolution; nothing is cleared.

    Kept beside the run, so that a table asked for again costs nothing.
    """
    folder = trained(system, seed, place)
    kept = folder / f"test{len(slices)}.npz"
    if not kept.exists():
        network = network_of(system, place.preset).eval()
        load_weights(network, folder / ("joint.safetensors" if system.name == "joint" else "segmenter.safetensors"))
        partial = kept.with_suffix(".partial.npz")
        np.savez_compressed(partial, *(_predicted(network, one, place.preset) for one in slices))
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
    """What a run says of itself."""
    found: dict[str, object] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found
