"""Metrics of one system's predictions, by the libraries that this field trusts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import py_sod_metrics
import torch
from experiments.reproduction.plan import Preset, System
from experiments.reproduction.runs import HeldOutSlice, network_of
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

THRESHOLD = 0.5
FAILURE = 0.1
"""Dice under which the paper calls a slice a failure (§V-C)."""
FIGURES = ("dice", "iou", "e_measure", "s_measure", "mae")


@dataclass(frozen=True)
class Scores:
    """Metrics of one system and seed; each is (N,), a value for each slice."""

    dice: NDArray[np.float64]
    """At one fixed threshold; the F1 of pixels (torchmetrics)."""
    iou: NDArray[np.float64]
    """At the same threshold (torchmetrics)."""
    e_measure: NDArray[np.float64]
    """Enhanced alignment (Fan et al., IJCAI 2018), mean over 256 thresholds (PySODMetrics)."""
    s_measure: NDArray[np.float64]
    """Structure measure (Fan et al., ICCV 2017), of the probability map (PySODMetrics)."""
    mae: NDArray[np.float64]
    """Mean absolute error of the probability map (PySODMetrics)."""
    dice_adaptive: NDArray[np.float64]
    """At twice the mean of the map stretched to 0..1, as in Inf-Net's evaluation (PySODMetrics), within the part of the
    slice that the network sees: published slices are cropped to the lungs, and more body around them would lower the
    mean. Only for comparison with published figures, because stretching favours maps that are sure of nothing."""


def scores(predicted: list[NDArray[np.uint8]], slices: list[HeldOutSlice]) -> Scores:
    """Metrics of every slice, at its own resolution.

    Args:
        predicted: probability (H, W) of each slice as 0..255.
        slices: the same slices with their masks.
    """
    rows = [_of_one(values, one) for values, one in zip(predicted, slices, strict=True)]
    return Scores(*(np.array(column) for column in zip(*rows, strict=True)))


def _of_one(values: NDArray[np.uint8], one: HeldOutSlice) -> tuple[float, ...]:
    truth, seen = one.truth, one.normal.box.inside(one.truth.shape)
    called = torch.from_numpy(values > 255 * THRESHOLD)
    wanted = torch.from_numpy(truth)
    sod: dict[str, Any] = {
        "e": py_sod_metrics.Emeasure(),
        "s": py_sod_metrics.Smeasure(),
        "mae": py_sod_metrics.MAE(),
    }
    # Unscaled probabilities: stretching each map to 0..1, as Inf-Net's evaluation does, favours maps that are sure of
    # nothing.
    for measure in sod.values():
        measure.step(pred=values / 255, gt=truth, normalize=False)
    dice = py_sod_metrics.DICEHandler(with_dynamic=False, with_adaptive=True)
    adaptive = py_sod_metrics.FmeasureV2({"dice": dice})
    adaptive.step(pred=values[seen], gt=truth[seen].astype(np.uint8) * 255, normalize=True)
    return (
        float(binary_f1_score(called.int(), wanted.int())),
        float(binary_jaccard_index(called.int(), wanted.int())),
        float(np.mean(sod["e"].get_results()["em"]["curve"])),
        float(sod["s"].get_results()["sm"]),
        float(sod["mae"].get_results()["mae"]),
        float(adaptive.get_results()["dice"]["adaptive"]),
    )


@dataclass(frozen=True)
class Cost:
    """Cost of a network for one slice."""

    parameters: int
    flops: int
    """Operations for one slice; a multiplication and an addition count as two."""
    seconds: float
    """Median time of one slice on this machine's CPU, torch eager."""


def cost(system: System, preset: Preset, repetitions: int = 5) -> Cost:
    """Parameters, FLOPs and CPU time of a system at the preset's size."""
    network: nn.Module = network_of(system, preset).eval().to(memory_format=torch.channels_last)
    image = torch.rand(1, 1, *preset.input_size).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network(image)
        taken = []
        for _ in range(repetitions):
            start = time.perf_counter()
            network(image)
            taken.append(time.perf_counter() - start)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops(), float(np.median(taken)))
