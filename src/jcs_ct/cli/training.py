"""Commands that make weights: train, export, quantise. They need the extra `train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from jcs_ct.errors import UsageError


class TrainTask(StrEnum):
    """What can be trained; `encoder` and `backbone` make the warm starts."""

    CLASSIFIER = "classifier"
    SEGMENTER = "segmenter"
    JOINT = "joint"
    LUNGS = "lungs"
    ENCODER = "encoder"
    BACKBONE = "backbone"


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def train(
    task: Annotated[TrainTask, typer.Argument(help="What to train.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources, or own data with slices.csv.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, logs and checkpoints.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML with the settings of the run (see configs/); for own data not needed.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder to keep prepared slices in.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    devices: Annotated[int, typer.Option(help="Number of GPUs; above one, DDP.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps in place of the config's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed in place of the config's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output.")] = False,
    allow_similar: Annotated[
        bool, typer.Option("--allow-similar", help="Go on though own slices in different splits look the same.")
    ] = False,
) -> None:
    """Train a network; needs the `train` extra."""
    training = _training()
    chosen = config or training.own_config(str(task))
    settings = training.load_config(chosen, task=str(task), steps=steps, seed=seed)
    paths = training.RunPaths(data, output, cache)
    weights = training.train(settings, paths, str(device), resume, devices, allow_similar)
    typer.echo(f"weights: {weights}")


def _training() -> ModuleType:
    # Here and not at the top: torch takes seconds to import and is not installed where one only diagnoses.
    try:
        from jcs_ct.training import api
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; training needs the extra: pip install 'jcs-ct[train]'") from error
    return api


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights folder to write (manifest.json is kept up).")],
    classifier: Annotated[Path | None, typer.Option(help="Output folder of a classifier's training.")] = None,
    segmenter: Annotated[Path | None, typer.Option(help="Output folder of a segmenter's training.")] = None,
    lungs: Annotated[Path | None, typer.Option(help="Output folder of a lung network's training.")] = None,
) -> None:
    """Export trained networks to ONNX, with checksums; needs the `train` extra."""
    given = {"classifier": classifier, "segmenter": segmenter, "lungs": lungs}
    runs = {name: run for name, run in given.items() if run is not None}
    if not runs:
        raise UsageError(f"nothing to export; give --{' or --'.join(given)} with the folder of a training run")
    typer.echo(f"manifest: {_training().ship(runs, output)}")


def quantise(
    weights: Annotated[Path, typer.Option(help="Weights folder; the results go into it, and into its manifest.")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources that the networks were trained on.")],
    cache: Annotated[Path | None, typer.Option(help="Folder to keep prepared slices in.")] = None,
    only: Annotated[str | None, typer.Option(help="Name of one network; without it all.")] = None,
) -> None:
    """Bring exported networks to 8 bits, which a diagnosis then takes; needs the `train` extra."""
    typer.echo(f"manifest: {_training().quantise(weights, data, cache, only)}")
