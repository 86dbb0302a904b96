"""Figures of merit of decisions, of slices and of groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from experiments.generalising.results import Figures
from numpy.typing import NDArray

from jcs_ct.evaluation.calibration import brier_score, expected_calibration_error
from jcs_ct.evaluation.metrics import auc_interval, roc_auc

WANTED_SPECIFICITY = 0.93
RULES: dict[str, Callable[[NDArray[Any]], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "mean of the three highest": lambda said: np.sort(said)[-3:].mean(),
}
"""How slice probabilities are aggregated per group. The last rule resembles the patient rule, by which a few slices
decide however many others there are."""
Predicted = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.str_]]
"""Probability of infection, whether infected and group, of each slice."""


def auc(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Area under the ROC curve; NaN where a class is missing."""
    found = roc_auc(truth, score)
    return float("nan") if found is None else found


def auc_with_interval(truth: NDArray[np.bool_], score: NDArray[Any], groups: NDArray[np.str_]) -> Figures:
    """The AUC, and its interval by bootstrap over groups."""
    return {"AUC": auc(truth, score), "AUC, 95 % interval": list(auc_interval(truth, score, groups))}


def slice_figures(said: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.str_]) -> Figures:
    """Figures of slices.

    Args:
        said: (N,) probability of infection.
        truth: (N,) whether they are infected.
        groups: (N,) patient of each slice, or the closest known grouping.
    """
    return {
        "slices": len(said),
        **auc_with_interval(truth, said, groups),
        "ECE": expected_calibration_error(said, truth),
        "Brier score": brier_score(said, truth),
    }


def best_rule(known: Sequence[Predicted]) -> str:
    """The rule with the highest mean AUC over groups, on sets of slices used for choices."""

    def found(rule: str) -> float:
        return float(np.mean([auc(infected, said) for said, infected, _ in (_by_group(*one, rule) for one in known)]))

    return max(RULES, key=found)


def group_figures(
    said: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.str_], rule: str = "mean"
) -> Figures:
    """Figures of groups by one of the rules; other arguments as of `slice_figures`."""
    by_group, infected, names = _by_group(said, truth, groups, rule)
    level, sensitivity, specificity = _at_specificity(by_group, infected)
    return {
        "groups": len(names),
        **auc_with_interval(infected, by_group, names),
        f"sensitivity at specificity {specificity:.3f} (probability above {level:.3f})": sensitivity,
        "sensitivity at 0.5": float((by_group[infected] > 0.5).mean()),
        "specificity at 0.5": float((by_group[~infected] <= 0.5).mean()),
        "ECE": expected_calibration_error(by_group, infected),
        "Brier score": brier_score(by_group, infected),
    }


def _by_group(said: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.str_], rule: str) -> Predicted:
    names = np.unique(groups)
    by_group = np.array([RULES[rule](said[groups == name]) for name in names], np.float32)
    return by_group, np.array([truth[groups == name].any() for name in names]), names


def _at_specificity(score: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The lowest level with at least `WANTED_SPECIFICITY`, and sensitivity and specificity there."""
    for level in np.unique(score):
        if (specificity := float((score[~positive] <= level).mean())) >= WANTED_SPECIFICITY:
            return float(level), float((score[positive] > level).mean()), specificity
    return float("inf"), 0.0, 1.0
