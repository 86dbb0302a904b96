"""The trainings: each is taken up where it stopped, and none is done twice."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from experiments.generalising.place import Place
from experiments.generalising.readings import Probabilities
from numpy.typing import NDArray
from tqdm import tqdm

from jcs_ct.datasets.prepared import PreparedSlices, prepare
from jcs_ct.errors import UsageError
from jcs_ct.models import registry
from jcs_ct.training.config import BatchGroup, TrainConfig, load_config
from jcs_ct.training.run import RunPaths, load_weights, train

NARROWED_ON = "sars-cov-2-ct"
"""The slices that the narrow encoder is fitted to, without their labels."""


def encoder_of(size: str, place: Place) -> dict[str, str]:
    """What a run of one size starts from."""
    return {"encoder": str(place.output / f"encoder-{size}" / "encoder.safetensors")}


def make_encoders(place: Place) -> None:
    """What all runs start from: ImageNet's VGG-16, as wide as the configs say."""
    for size, source in (("default", NARROWED_ON), ("teacher", "covid-19-ct100")):
        folder = place.output / f"encoder-{size}"
        if not (folder / "encoder.safetensors").exists():
            # The narrow one is fitted to slices, without labels or masks.
            config = TrainConfig(
                "encoder", (BatchGroup(1, (source,)),), 1, size=size, init={"imagenet": str(place.imagenet)}
            )
            train(config, RunPaths(place.data, folder, place.cache), "cpu")


def train_missing(runs: dict[str, TrainConfig], place: Place) -> None:
    """Train what is not there yet, with a progress bar.

    Raises:
        UsageError: there is a run of other settings.
    """
    make_encoders(place)
    missing = {name: config for name, config in runs.items() if not _finished(name, config, place)}
    for config in missing.values():  # prepared once, before the runs are told apart
        prepare(sorted({s for g in config.batch for s in g.sources}), place.data, config.input_size, place.cache)
    threads = max(1, len(os.sched_getaffinity(0)) // place.workers)
    # A fork beside the threads of torch can wait for ever.
    pool = ProcessPoolExecutor(place.workers, get_context("spawn"), torch.set_num_threads, (threads,))
    with pool, tqdm(total=len(missing), disable=not sys.stderr.isatty()) as bar:
        started = [pool.submit(_trained, name, config, place) for name, config in missing.items()]
        for one in as_completed(started):
            one.result()
            bar.update()


def _trained(name: str, config: TrainConfig, place: Place) -> None:
    train(config, RunPaths(place.data, place.output / name, place.cache), "cpu", resume=True)


def _finished(name: str, config: TrainConfig, place: Place) -> bool:
    folder = place.output / name
    if (folder / "config.yaml").exists() and load_config(folder / "config.yaml") != config:
        raise UsageError(f"{folder} holds a run of other settings; move it away to train with these")
    return (folder / "summary.json").exists()


def outlined(name: str, config: TrainConfig, slices: PreparedSlices, place: Place) -> Probabilities:
    """What a run's segmenter says of slices, seen once as in a diagnosis."""
    return said_by(place.output / name / "segmenter.safetensors", config, slices)


@torch.inference_mode()
def said_by(weights: Path, config: TrainConfig, slices: PreparedSlices, mirrored: bool = False) -> Probabilities:
    """What a segmenter says of slices.

    Args:
        weights: safetensors.
        config: what they were trained with; tells the network's size and precision.
        slices: at the config's input size.
        mirrored: look at each slice's mirror image as well, and average.

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


def labelled_slices(source: str, config: TrainConfig, place: Place) -> PreparedSlices:
    """All slices of a source whose label is known, as a run sees them."""
    found = prepare([source], place.data, config.input_size, place.cache)
    return found.subset(found.infected >= 0)


def groups_of(slices: PreparedSlices) -> NDArray[np.str_]:
    """(N,): patient of each slice, or what comes nearest."""
    return np.array([record.group for record in slices.records])


def of_split(slices: PreparedSlices, name: str) -> NDArray[np.bool_]:
    """(N,): which slices are of a split."""
    return np.array([record.split == name for record in slices.records], bool)
