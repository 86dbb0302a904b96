"""What is gained by leaving out what the classifier is least sure of, or has seen least of: risk over coverage."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct.benchmarks.benchmark import BenchmarkResult, Step, chosen_sources
from jcs_ct.benchmarks.classification import CLASSIFICATION_SOURCES, source_predictions
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.evaluation import metrics
from jcs_ct.evaluation.coverage import RiskCoverage, risk_coverage

KEPT = 0.8
"""Coverage that the risk is told at: one in five left out."""
Doubts = dict[str, NDArray[np.float32]]
"""By name, (N,) in whose order members are left out."""


def coverage(
    diagnoser: Diagnoser, data: Path, split: str, step: Step, plots: Path | None = None
) -> list[BenchmarkResult]:
    """Share of wrong decisions where the least confident or the most atypical slices and groups are left out.

    Args:
        diagnoser: holds the weights.
        data: folder that holds data sources, or one of them.
        split: `train`, `val` or `test`.
        step: told of every batch that is done.
        plots: folder for the curves of each source; none if None.

    Raises:
        ModuleNotFoundError: plots are wanted and matplotlib is not installed.
    """
    results = []
    threshold = diagnoser.settings.rule.slice_probability
    for source in chosen_sources(data, CLASSIFICATION_SOURCES):
        found = source_predictions(diagnoser, source, data, split, step)
        truth, mean, median = found.by_group()
        wrong = (found.probability > threshold) != found.infected
        doubts = _doubts(found.probability, threshold, found.scores.atypicality)
        results.append(_result(source, f"split {split}, {len(wrong)} slices", wrong, doubts, found.groups))
        if len(truth) < len(wrong):
            own = _doubts(mean, threshold, median)
            protocol = f"split {split}, {len(truth)} groups by their mean"
            results.append(_result(source, protocol, (mean > threshold) != truth, own, np.arange(len(truth))))
        if plots is not None:
            # Here and not at the top: matplotlib is of an extra, and only the plots need it.
            from jcs_ct.evaluation.plots import plot_risk_coverage

            curves = {name: risk_coverage(wrong, doubt) for name, doubt in doubts.items()}
            plot_risk_coverage(curves, f"{source}, split {split}, slices", plots / f"{source}-coverage.png")
    return results


def _doubts(probability: NDArray[np.float32], threshold: float, atypicality: NDArray[np.float32] | None) -> Doubts:
    doubts: Doubts = {"confidence": -np.abs(probability - np.float32(threshold))}
    return doubts if atypicality is None else doubts | {"typicality": atypicality}


def _result(
    source: str, protocol: str, wrong: NDArray[np.bool_], doubts: Doubts, groups: NDArray[Any]
) -> BenchmarkResult:
    figures: dict[str, float | int | None] = {"error": float(wrong.mean())}
    intervals = {}
    for name, doubt in doubts.items():
        curve: RiskCoverage = risk_coverage(wrong, doubt)
        figures[f"area_by_{name}"] = curve.area
        figures[f"error_at_{100 * KEPT:.0f}_by_{name}"] = curve.at(KEPT)
        figures[f"auc_of_errors_by_{name}"] = metrics.roc_auc(wrong, doubt)
        intervals[f"area_by_{name}"] = metrics.bootstrap_interval(partial(_area, wrong, doubt), groups)
    return BenchmarkResult(source, protocol, figures, intervals)


def _area(wrong: NDArray[np.bool_], doubt: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    """A figure for `metrics.bootstrap_interval`."""
    return risk_coverage(wrong[chosen], doubt[chosen]).area
