"""Figures 10 and 11, and a gallery of the worst slices."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from experiments.reproduction.evaluated import Evaluated
from experiments.reproduction.parts import Figure, save
from experiments.reproduction.plan import COMPARED, JCS, System
from experiments.reproduction.runs import HeldOutSlice
from experiments.reproduction.scores import FAILURE, THRESHOLD
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from jcs_ct.evaluation.opacities import opacities, share_of_lung

ROWS = 6
"""Slices of Figure 10, from few to many opacities."""
WORST = 8
"""Slices of the gallery."""


def show(axes: Axes, one: HeldOutSlice, predicted: NDArray[np.bool_] | None, title: str) -> None:
    """A slice with the reader's outline in green and the prediction's in red."""
    rows, columns = one.normal.box.inside(one.truth.shape)
    axes.imshow(one.normal.image[rows, columns], cmap="gray", vmin=0, vmax=255)
    axes.contour(one.truth[rows, columns], levels=[0.5], colors="#2ca02c", linewidths=0.8)
    if predicted is not None and predicted.any():
        axes.contour(predicted[rows, columns], levels=[0.5], colors="#d62728", linewidths=0.8)
    axes.set_title(title, fontsize=7)
    axes.axis("off")


def figure_10(evaluated: Evaluated, folder: Path) -> Figure:
    """Predictions of all systems on the same slices."""
    areas = np.array([one.truth.sum() for one in evaluated.slices])
    chosen = np.argsort(areas)[np.linspace(0, len(areas) - 1, min(ROWS, len(areas))).astype(int)]
    seed = evaluated.reproduction.preset.seeds[0]
    columns: list[System] = list(COMPARED)
    figure, grid = plt.subplots(
        len(chosen), len(columns), figsize=(1.7 * len(columns), 1.5 * len(chosen)), squeeze=False
    )
    for column, system in enumerate(columns):
        values = evaluated.predicted(system, seed)
        dice = evaluated(system)[0].dice
        for row, index in enumerate(chosen):
            called = values[index] > 255 * THRESHOLD
            name = f"{system.label}\n" if row == 0 else ""
            show(grid[row, column], evaluated.slices[index], called, f"{name}{100 * dice[index]:.0f}")
    caption = (
        "Green: the reader's outline, red: the system's, above each slice its Dice in percent. Slices are chosen by "
        "the area of their opacities, evenly from the smallest to the largest; first seed."
    )
    return save(figure, folder, "figure10", "Figure 10: all systems on the same slices", caption)


def figure_11(evaluated: Evaluated, folder: Path) -> Figure:
    """Dice against the area of the opacities and against their number."""
    dice = np.mean([one.dice for one in evaluated(JCS)], axis=0)
    share = np.array([100 * share_of_lung(one.truth, one.normal.lungs) for one in evaluated.slices])
    counts = np.array([len(opacities(one.truth)) for one in evaluated.slices])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    left.scatter(share, dice, s=18, color="#1f77b4")
    left.axhline(FAILURE, color="#d62728", linewidth=0.8, linestyle="--")
    left.set(xlabel="opacities, % of lung", ylabel="Dice", ylim=(0, 1))
    edges = [1, 3, 6, 10, 1_000_000]
    groups = [dice[(counts >= low) & (counts < high)] for low, high in pairwise(edges)]
    labels = ["1–2", "3–5", "6–9", "10 and more"]
    shown = [(label, group) for label, group in zip(labels, groups, strict=True) if len(group)]
    right.boxplot([group for _, group in shown], tick_labels=[label for label, _ in shown])
    right.set(xlabel="opacities on the slice", ylabel="Dice", ylim=(0, 1))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    failures = float((dice < FAILURE).mean())
    good = float((dice >= 0.6).mean())
    caption = (
        f"JCS, segmentation alone, Dice averaged over seeds. {100 * failures:.1f} % of the slices are under "
        f"{FAILURE:g} (paper: 0.8 %), {100 * good:.1f} % reach 0.6 (paper: 95.9 %). The slices have no spacing, so the "
        "area is a share of the lung where the paper has mm²."
    )
    return save(figure, folder, "figure11", "Figure 11: Dice against area and number of opacities", caption)


def worst(evaluated: Evaluated, folder: Path) -> Figure:
    """The slices that JCS outlines worst."""
    dice = np.mean([one.dice for one in evaluated(JCS)], axis=0)
    chosen = np.argsort(dice)[:WORST]
    values = evaluated.predicted(JCS, evaluated.reproduction.preset.seeds[0])
    figure, grid = plt.subplots(2, -(-len(chosen) // 2), figsize=(10, 4.6), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, chosen, strict=False):
        one = evaluated.slices[index]
        show(axes, one, values[index] > 255 * THRESHOLD, f"{one.record.path.stem}: {100 * dice[index]:.0f}")
    caption = (
        "Number of the slice and its Dice in percent, averaged over seeds. Green: the reader, red: JCS, first seed."
    )
    return save(figure, folder, "worst", "The worst slices", caption)


FIGURES: dict[str, Callable[[Evaluated, Path], Figure]] = {"figure10": figure_10, "figure11": figure_11, "worst": worst}
