"""Figures of merit of decisions, of slices and of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from experiments.generalising.place import Figures
from numpy.typing import NDArray

from jcs_ct.evaluation.calibration import brier_score, expected_calibration_error
from jcs_ct.evaluation.metrics import auc_interval, roc_auc

WANTED_SPECIFICITY = 0.93


def auc(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Area under the ROC curve; NaN where a class is missing."""
    found = roc_auc(truth, score)
    return float("nan") if found is None else found


def auc_with_interval(truth: NDArray[np.bool_], score: NDArray[Any], groups: NDArray[np.str_]) -> Figures:
    """The AUC, and its interval by bootstrap over groups."""
    return {"AUC": auc(truth, score), "AUC, 95 % interval": list(auc_interval(truth, score, groups))}


def of_slices(said: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.str_]) -> Figures:
    """Figures of slices.

    Args:
        said: (N,) probability of infection.
        truth: (N,) whether they are infected.
        groups: (N,) patient of each, or what comes nearest.
    """
    return {
        "slices": len(said),
        **auc_with_interval(truth, said, groups),
        "ECE": expected_calibration_error(said, truth),
        "Brier score": brier_score(said, truth),
    }


def of_groups(said: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.str_]) -> Figures:
    """Figures of groups, by the mean over the slices of each; arguments as of `of_slices`."""
    names = np.unique(groups)
    mean = np.array([said[groups == name].mean() for name in names])
    infected = np.array([truth[groups == name].any() for name in names])
    level, sensitivity, specificity = _at_specificity(mean, infected)
    return {
        "groups": len(names),
        **auc_with_interval(infected, mean, names),
        f"sensitivity at specificity {specificity:.3f} (mean probability above {level:.3f})": sensitivity,
        "sensitivity at 0.5": float((mean[infected] > 0.5).mean()),
        "specificity at 0.5": float((mean[~infected] <= 0.5).mean()),
        "ECE": expected_calibration_error(mean, infected),
        "Brier score": brier_score(mean, infected),
    }


def _at_specificity(score: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The lowest level with at least `WANTED_SPECIFICITY`, and sensitivity and specificity there."""
    for level in np.unique(score):
        if (specificity := float((score[~positive] <= level).mean())) >= WANTED_SPECIFICITY:
            return float(level), float((score[positive] > level).mean()), specificity
    return float("inf"), 0.0, 1.0
