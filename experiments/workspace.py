"""Where an experiment reads and writes, and its trainings: each resumes where it stopped, and none is repeated."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from jcs_ct.datasets.prepared import prepare
from jcs_ct.errors import UsageError
from jcs_ct.training.config import TrainConfig, load_config
from jcs_ct.training.files import RunPaths
from jcs_ct.training.run import train

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workspace:
    """Folders of an experiment, and the processors that it trains on."""

    data: Path
    """Holds the data sources."""
    output: Path
    """Holds a folder for each run."""
    imagenet: Path | None = None
    """torchvision-shaped ImageNet VGG-16 weights."""
    workers: int = 1
    """Trainings in parallel, on a CPU."""
    device: str = "cpu"
    devices: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    """Override those of every config."""

    @property
    def cache(self) -> Path:
        """Folder of prepared slices."""
        return self.output / "cache"


def finished(name: str, config: TrainConfig, workspace: Workspace) -> bool:
    """Whether a run is complete.

    Raises:
        UsageError: the folder holds a run with other settings.
    """
    folder = workspace.output / name
    if (folder / "config.yaml").exists() and _comparable(load_config(folder / "config.yaml")) != _comparable(config):
        raise UsageError(f"{folder} holds a run of other settings; move it away to train with these")
    return (folder / "summary.json").exists()


def _comparable(config: TrainConfig) -> TrainConfig:
    """Without the folders of the initial weights, which differ on another machine or in another copy."""
    return replace(config, init={part: Path(path).name for part, path in config.init.items()})


def train_missing(runs: Mapping[str, TrainConfig], workspace: Workspace, title: str = "runs") -> None:
    """Train the runs that are not finished, `workspace.workers` in parallel, with a progress bar.

    Small networks keep one core busy, not many: two processes of one thread take less time than one of two threads.

    Args:
        runs: by the name of its folder, the config of each.
        workspace: of the runs.
        title: of the progress bar.

    Raises:
        UsageError: there is a run with other settings.
    """
    missing = {name: config for name, config in runs.items() if not finished(name, config, workspace)}
    with tqdm(total=len(missing), desc=title, disable=not sys.stderr.isatty()) as bar:
        if workspace.workers == 1 or len(missing) < 2:
            for name, config in missing.items():
                _train(name, config, workspace)
                bar.update()
            return
        for config in missing.values():  # slices are prepared once, before the processes are started
            sources = sorted({source for group in config.batch for source in group.sources})
            prepare(sources, workspace.data, config.input_size, workspace.cache)
        threads = max(1, len(os.sched_getaffinity(0)) // workspace.workers)
        spawned = get_context("spawn")  # a fork beside the threads of torch can hang
        with ProcessPoolExecutor(workspace.workers, spawned, torch.set_num_threads, (threads,)) as pool:
            for one in as_completed([pool.submit(_train, name, config, workspace) for name, config in missing.items()]):
                one.result()
                bar.update()


def _train(name: str, config: TrainConfig, workspace: Workspace) -> None:
    LOG.info("training %s, %d steps", name, config.steps)
    folder = workspace.output / name
    paths = RunPaths(workspace.data, folder, workspace.cache)
    train(config, paths, workspace.device, resume=True, devices=workspace.devices)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # hundreds of MB each, and the run is finished
