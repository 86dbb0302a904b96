"""Where a run reads and writes, and how weights are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from jcs_ct.errors import WeightsError

LARGEST_HALF = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes."""

    data: Path
    output: Path
    cache: Path | None = None


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a safetensors file into a module, strictly.

    Raises:
        WeightsError: the file is missing, or is of another network.
    """
    try:
        state = {name: value.float() for name, value in load_file(path).items()}
        module.load_state_dict(state)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"cannot load {path}: {error}") from error


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's state as fp16 safetensors, aside first; fp32 where a value is too large for fp16.

    Running variances can be: as infinity they would silence their channels for good.
    """
    state = {name: _halved(value).contiguous() for name, value in module.state_dict().items()}
    part = path.with_suffix(".partial")
    save_file(state, part)
    part.replace(path)


def _halved(value: Tensor) -> Tensor:
    fits = value.is_floating_point() and bool((value.abs() <= LARGEST_HALF).all())
    return value.half() if fits else value
