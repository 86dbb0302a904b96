"""Calibration of probabilities: Platt scaling, reliability, expected calibration error, Brier score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

LIMIT = 1e-6
"""Probabilities are clipped this far from 0 and 1 before the logit."""
FOLDS = 5
"""Number of folds in `cross_fitted`."""


@dataclass(frozen=True)
class PlattScaling:
    """A line in logit space (Platt 1999): calibrated = sigmoid(scale · logit(p) + bias)."""

    scale: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"expected a positive scale, so that the order of slices stays, found {self.scale}")

    def apply(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of any shape, calibrated."""
        logit = special.logit(np.clip(probability.astype(np.float64), LIMIT, 1 - LIMIT))
        return np.asarray(special.expit(self.scale * logit + self.bias), np.float32)


def fit_platt(probability: NDArray[np.float32], positive: NDArray[np.bool_], groups: NDArray[Any]) -> PlattScaling:
    """Fit the scaling with the least log loss; every patient has the same weight, and so has each class.

    Slices of one patient are alike, so a patient with many slices would otherwise dominate the fit.

    Args:
        probability: (N,) of slices.
        positive: (N,) whether each slice is infected.
        groups: (N,) patient of each slice, or the closest known grouping.

    Raises:
        ValueError: a class is missing, or the probabilities rank the slices no better than chance.
    """
    if positive.all() or not positive.any():
        raise ValueError("calibration needs slices of both classes")
    logit = special.logit(np.clip(probability.astype(np.float64), LIMIT, 1 - LIMIT))
    sign = np.where(positive, 1.0, -1.0)
    weight = patient_weights(positive, groups)

    def log_loss(line: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -sign * (line[0] * logit + line[1])) @ weight)

    scale, bias = optimize.minimize(log_loss, np.array([1.0, 0.0]), method="Nelder-Mead", tol=1e-8).x
    return PlattScaling(round(float(scale), 4), round(float(bias), 4))


def cross_fitted(
    probability: NDArray[np.float32], positive: NDArray[np.bool_], groups: NDArray[Any]
) -> NDArray[np.float32]:
    """Calibrate each probability by a scaling that was fitted without the slice's patient.

    Args:
        probability: (N,) of slices.
        positive: (N,) whether each slice is infected.
        groups: (N,) patient of each slice; patients of each class are split into `FOLDS` parts.

    Raises:
        ValueError: a class has too few patients to leave a fold out.
    """
    random, calibrated = np.random.default_rng(0), np.empty_like(probability)
    names, index = np.unique(groups, return_inverse=True)
    infected = np.array([positive[index == k].any() for k in range(len(names))])
    fold = np.empty(len(names), np.int64)
    for kind in (infected, ~infected):
        fold[kind] = random.permutation(np.arange(kind.sum()) % FOLDS)
    for k in range(FOLDS):
        left_out = fold[index] == k
        if left_out.any():
            scaling = fit_platt(probability[~left_out], positive[~left_out], groups[~left_out])
            calibrated[left_out] = scaling.apply(probability[left_out])
    return calibrated


def patient_weights(positive: NDArray[np.bool_], groups: NDArray[Any]) -> NDArray[np.float64]:
    """(N,) weights of sum 1: equal for both classes, for the patients of a class, and for the slices of a patient."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1 / sizes[index]
    for kind in (positive, ~positive):
        weight[kind] /= 2 * weight[kind].sum()
    return np.asarray(weight, np.float64)


@dataclass(frozen=True)
class ReliabilityBin:
    """Members with similar probabilities."""

    count: int
    probability: float
    """Mean predicted probability."""
    share: float
    """Share of positive members."""


def reliability(
    probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_], bins: int = 10
) -> list[ReliabilityBin]:
    """Predicted probability against the share of positives, in bins of equal width; empty bins are left out.

    Args:
        probability: (N,) in 0..1.
        positive: (N,).
        bins: number of bins.
    """
    index = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        ReliabilityBin(int(own.sum()), float(probability[own].mean()), float(positive[own].mean()))
        for k in range(bins)
        if (own := index == k).any()
    ]


def expected_calibration_error(
    probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_], bins: int = 10
) -> float:
    """Mean gap between probability and share in `reliability`, weighted by members (ECE; Guo et al., ICML 2017)."""
    found = reliability(probability, positive, bins)
    return sum(each.count * abs(each.probability - each.share) for each in found) / len(probability)


def brier_score(probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float:
    """Mean squared difference between probability and truth (Brier 1950); a constant 0.5 scores 0.25."""
    return float(((probability.astype(np.float64) - positive) ** 2).mean())
