"""The paper's networks at the full field of view: seconds a slice in torch, as the original, and in OpenVINO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.speed_sections.backends import parameters_and_flops
from benchmarks.speed_sections.plan import AVX2, Figures, Plan, interleaved
from torch import nn

from jcs_ct.engine import OpenVino
from jcs_ct.models import registry
from jcs_ct.training.export import export_onnx
from jcs_ct.training.files import save_weights

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIER_SIZE = (224, 224)
SIZE = (512, 512)
"""The paper's inputs (§V-B): classifier, and all else, of the whole slice."""


def paper_input(name: str, quick: bool) -> tuple[int, int]:
    """Height and width that a network sees at the paper's size; small ones to see that it works."""
    if quick:
        return 64, 64
    return CLASSIFIER_SIZE if name == "classifier" else SIZE


def eager(network: nn.Module, input_size: tuple[int, int]) -> Callable[[], object]:
    """One slice through a network in torch eager; noise, as its time is the same."""
    ready: nn.Module = network.eval().to(memory_format=torch.channels_last)
    image = torch.rand(1, 1, *input_size)

    @torch.inference_mode()
    def run() -> Any:
        return ready(image)

    return run


def exported(network: nn.Module, name: str, input_size: tuple[int, int], folder: Path) -> Callable[[], object]:
    """One slice through the exported network in OpenVINO, fp32."""
    weights = folder / f"{name}.safetensors"
    save_weights(network, weights)
    export_onnx(network, name, input_size, folder / f"{name}.onnx", weights)
    backend = OpenVino(folder / f"{name}.onnx")
    image = np.random.default_rng(0).random((1, 1, *input_size), np.float32)
    return lambda: backend.infer(image)


def paper_size(plan: Plan) -> Figures:
    """Seconds a slice of each network at the paper's size (random weights), median of some slices by turns."""
    works: dict[str, Callable[[], object]] = {}
    gflop = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("classifier", "segmenter", "joint"):
            network, size = registry.build(name, "paper"), paper_input(name, plan.quick)
            gflop[name] = parameters_and_flops(network, size)[1] / 1e9
            works[f"{name}, torch eager"] = eager(network, size)
            works[f"{name}, OpenVINO fp32"] = exported(network, name, size, Path(folder))
        seconds = interleaved(works, 1 if plan.quick else 3)
    return {"seconds_a_slice": seconds, "gflop_a_slice": gflop}


def paper_size_avx2(plan: Plan) -> Figures:
    """The same in a process whose kernels may use AVX2 and nothing newer."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", __name__, str(plan.data), *(["--quick"] if plan.quick else [])]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | AVX2 | {"PYTHONPATH": path}
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    print(json.dumps(paper_size(Plan(Path(sys.argv[1]), "--quick" in sys.argv))))
