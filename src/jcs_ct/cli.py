"""The `jcs` command: options in, exit codes out; all work is done elsewhere.

Exit codes: 0 a result was written, 2 bad input or usage, 3 the study is not assessable (the result is written all the
same, with the reasons).
"""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jcs_ct._version import __version__
from jcs_ct.errors import JcsError, UsageError

app = typer.Typer(
    help="Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_state = {"debug": False}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jcs {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device."""
    del version
    _state["debug"] = debug


class TrainTask(StrEnum):
    """What can be trained; `encoder` and `backbone` make the warm starts."""

    CLASSIFIER = "classifier"
    SEGMENTER = "segmenter"
    JOINT = "joint"
    ENCODER = "encoder"
    BACKBONE = "backbone"


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def train(
    task: Annotated[TrainTask, typer.Argument(help="What to train.")],
    config: Annotated[Path, typer.Option(help="YAML with the settings of the run (see configs/).")],
    data: Annotated[Path, typer.Option(help="Folder that holds the data sources.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, logs and checkpoints.")],
    cache: Annotated[Path | None, typer.Option(help="Folder to keep prepared slices in.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    devices: Annotated[int, typer.Option(help="Number of GPUs; above one, DDP.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps in place of the config's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed in place of the config's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output.")] = False,
) -> None:
    """Train a network; needs the `train` extra."""
    training = _training()
    settings = training.load_config(config, task=str(task), steps=steps, seed=seed)
    paths = training.RunPaths(data, output, cache)
    weights = training.train(settings, paths, str(device), resume, devices)
    typer.echo(f"weights: {weights}")


def _training():  # noqa: ANN202
    # Here and not at the top: torch takes seconds to import and is not installed where one only diagnoses.
    try:
        from jcs_ct.training import api
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; training needs the extra: pip install 'jcs-ct[train]'") from error
    return api


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except JcsError as error:
        if _state["debug"]:
            raise
        typer.echo(f"jcs: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
