"""Figures 6 to 8 of the paper for any data set, reliability, risk over coverage.

Needs matplotlib (extra `evaluate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from jcs_ct.evaluation.calibration import ReliabilityBin
from jcs_ct.evaluation.coverage import RiskCoverage
from jcs_ct.evaluation.opacities import Opacity

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of a backend that needs no screen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_BLUE = "#1f77b4"


def plot_attributes(found: Sequence[Opacity], path: Path) -> Path:
    """Figure 6: the distribution of every attribute of the opacities."""
    figure, grid = plt.subplots(2, 3, figsize=(9, 5))
    columns: tuple[tuple[str, list[float], bool], ...] = (
        ("area, pixels", [one.area for one in found], True),
        ("centre, share of width", [one.x for one in found], False),
        ("centre, share of height", [one.y for one in found], False),
        ("width, pixels", [one.width for one in found], True),
        ("height, pixels", [one.height for one in found], True),
    )
    for axes, (name, values, wide) in zip(grid.flat, columns, strict=False):
        edges = np.geomspace(1, max(2.0, max(values)), 31) if wide else np.linspace(0, 1, 31)
        axes.hist(values, bins=edges, color=_BLUE)
        axes.set(xlabel=name, ylabel="opacities", xscale="log" if wide else "linear")
    grid.flat[-1].axis("off")
    return _save(figure, path)


def plot_segmentation_set(counts: Sequence[int], found: Sequence[Opacity], path: Path) -> Path:
    """Figure 8: opacities per slice, their widths and heights, and their areas by position.

    Args:
        counts: opacities of each slice that has some.
        found: all opacities.
        path: PNG to write.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8))
    left.hist(counts, bins=np.arange(0.5, max(counts) + 1.5), color=_BLUE)
    left.set(xlabel="opacities on a slice", ylabel="slices")
    middle.scatter([one.width for one in found], [one.height for one in found], s=8, alpha=0.5, color=_BLUE)
    middle.set(xlabel="width, pixels", ylabel="height, pixels")
    largest = max(one.area for one in found)
    sizes = [2 + 200 * one.area / largest for one in found]
    right.scatter([one.x for one in found], [one.y for one in found], s=sizes, alpha=0.35, color=_BLUE)
    right.set(xlabel="centre, share of width", ylabel="centre, share of height", xlim=(0, 1), ylim=(1, 0))
    return _save(figure, path)


def plot_patients(ages: Sequence[float], sexes: Sequence[str], thickness: Sequence[float], path: Path) -> Path:
    """Figure 7: age, sex and slice thickness, where studies state them."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.4))
    left.hist(ages, bins=np.arange(0, 101, 10), color=_BLUE)
    left.set(xlabel="age, years", ylabel="patients")
    names = sorted(set(sexes))
    middle.bar(names, [list(sexes).count(name) for name in names], color=_BLUE)
    middle.set(xlabel="sex", ylabel="patients")
    right.hist(thickness, bins=20, color=_BLUE)
    right.set(xlabel="slice thickness, mm", ylabel="studies")
    return _save(figure, path)


def plot_reliability(found: Sequence[ReliabilityBin], title: str, path: Path) -> Path:
    """Reliability diagram: predicted probability against the share of positives; larger dots have more members.

    Args:
        found: as `calibration.reliability` gives them.
        title: of the picture.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(4.2, 4.2))
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle="--")
    total = sum(each.count for each in found)
    axes.plot([each.probability for each in found], [each.share for each in found], color=_BLUE, linewidth=1)
    sizes = [20 + 400 * each.count / total for each in found]
    axes.scatter([each.probability for each in found], [each.share for each in found], s=sizes, color=_BLUE, alpha=0.5)
    axes.set(xlabel="probability", ylabel="share that is positive", xlim=(0, 1), ylim=(0, 1), title=title)
    return _save(figure, path)


def plot_risk_coverage(curves: Mapping[str, RiskCoverage], title: str, path: Path) -> Path:
    """Risk over coverage: the share of wrong answers over the share that is answered.

    Args:
        curves: by the name of the score that orders the answers.
        title: of the picture.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(4.6, 4.2))
    for name, curve in curves.items():
        axes.plot(curve.coverage, curve.risk, linewidth=1.2, label=f"by {name}, area {curve.area:.3f}")
    axes.axhline(next(iter(curves.values())).risk[-1], color="#888888", linewidth=0.8, linestyle="--")
    axes.set(xlabel="share that is answered", ylabel="of these wrong", xlim=(0, 1), ylim=(0, None), title=title)
    axes.legend(frameon=False)
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    for axes in figure.axes:
        _plain(axes)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
