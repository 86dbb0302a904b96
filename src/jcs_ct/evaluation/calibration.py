"""Probabilities that mean what they say: Platt scaling, fitted on validation data, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

LIMIT = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


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


def fit_platt(probability: NDArray[np.float32], positive: NDArray[np.bool_]) -> PlattScaling:
    """The scaling of least log loss.

    Args:
        probability: (N,) of slices that took no part in training.
        positive: (N,) whether they are.

    Raises:
        ValueError: a class is missing, or the probabilities rank the slices no better than chance.
    """
    if positive.all() or not positive.any():
        raise ValueError("calibration needs slices of both classes")
    logit = special.logit(np.clip(probability.astype(np.float64), LIMIT, 1 - LIMIT))
    sign = np.where(positive, 1.0, -1.0)

    def log_loss(line: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -sign * (line[0] * logit + line[1])).mean())

    scale, bias = optimize.minimize(log_loss, np.array([1.0, 0.0]), method="Nelder-Mead", tol=1e-8).x
    return PlattScaling(round(float(scale), 4), round(float(bias), 4))


@dataclass(frozen=True)
class ReliabilityBin:
    """Members of about the same probability."""

    count: int
    probability: float
    """Mean of what was said."""
    share: float
    """Of members that are positive: what came true."""


def reliability(
    probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_], bins: int = 10
) -> list[ReliabilityBin]:
    """What was said against what came true, in bins of equal width; empty bins are left out.

    Args:
        probability: (N,) in 0..1.
        positive: (N,).
        bins: how many.
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
    """Mean distance of the two in `reliability`, weighted with the members (Guo et al., ICML 2017)."""
    found = reliability(probability, positive, bins)
    return sum(each.count * abs(each.probability - each.share) for each in found) / len(probability)


def brier_score(probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float:
    """Mean squared distance of probability and truth (Brier 1950); 0.25 for always saying a half."""
    return float(((probability.astype(np.float64) - positive) ** 2).mean())
