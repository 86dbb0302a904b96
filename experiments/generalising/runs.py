"""What all protocols share: the encoders that runs start from, and predictions of trained segmenters."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from experiments.generalising.readings import Probabilities
from experiments.workspace import Workspace, train_missing
from numpy.typing import NDArray
from tqdm import tqdm

from jcs_ct.datasets.prepared import PreparedSlices, prepare
from jcs_ct.models import registry
from jcs_ct.training.config import BatchGroup, TrainConfig
from jcs_ct.training.files import load_weights

NARROWED_ON = "sars-cov-2-ct"
"""The slices that the narrow encoder is fitted to, without their labels."""


def encoder_of(size: str, workspace: Workspace) -> dict[str, str]:
    """Initial weights of a run of one size."""
    return {"encoder": str(workspace.output / f"encoder-{size}" / "encoder.safetensors")}


def train_runs(runs: dict[str, TrainConfig], workspace: Workspace) -> None:
    """Train the encoders and the runs that are not finished; see `train_missing`."""
    for size, source in (("default", NARROWED_ON), ("teacher", "covid-19-ct100")):
        if not Path(encoder_of(size, workspace)["encoder"]).exists():
            # The narrow one is fitted to slices, without labels or masks.
            batch, init = (BatchGroup(1, (source,)),), {"imagenet": str(workspace.imagenet)}
            config = TrainConfig("encoder", batch, 1, size=size, init=init)
            train_missing({f"encoder-{size}": config}, workspace, "encoders")
    train_missing(runs, workspace)


def predict_run(name: str, config: TrainConfig, slices: PreparedSlices, workspace: Workspace) -> Probabilities:
    """Predictions of a run's segmenter, each slice seen once as in a diagnosis."""
    return predict_slices(workspace.output / name / "segmenter.safetensors", config, slices)


@torch.inference_mode()
def predict_slices(weights: Path, config: TrainConfig, slices: PreparedSlices, mirrored: bool = False) -> Probabilities:
    """Lesion probabilities (N, H, W) of slices by a segmenter.

    Args:
        weights: safetensors.
        config: of their training; gives the network's size and precision.
        slices: at the config's input size.
        mirrored: average with the prediction for each slice's mirror image.

    Raises:
        WeightsError: the weights are missing or of another network.
    """
    network = registry.segmenter(config.size).eval().to(memory_format=torch.channels_last)
    load_weights(network, weights)

    def look(image: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision.startswith("bf16")):
            logits = network(image.to(memory_format=torch.channels_last)).logits
        return torch.sigmoid(logits.float())

    out = np.empty(slices.images.shape, np.float32)
    for start in tqdm(range(0, len(slices), 16), desc=weights.parent.name, disable=not sys.stderr.isatty()):
        image = torch.from_numpy(slices.images[start : start + 16])[:, None].float() / 255
        said = look(image)
        if mirrored:
            said = (said + look(image.flip([3])).flip([3])) / 2
        out[start : start + 16] = said[:, 0].numpy()
    return out


def labelled_slices(source: str, config: TrainConfig, workspace: Workspace) -> PreparedSlices:
    """All labelled slices of a source, prepared as for a run."""
    found = prepare([source], workspace.data, config.input_size, workspace.cache)
    return found.subset(found.infected >= 0)


def groups_of(slices: PreparedSlices) -> NDArray[np.str_]:
    """(N,): patient of each slice, or the closest known grouping."""
    return np.array([record.group for record in slices.records])


def in_split(slices: PreparedSlices, name: str) -> NDArray[np.bool_]:
    """(N,): whether each slice is in a split."""
    return np.array([record.split == name for record in slices.records], bool)
