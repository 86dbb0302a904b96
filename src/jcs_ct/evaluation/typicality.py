"""Out-of-distribution score of a slice: its distance from the slices that the classifier was trained on.

The score is the Mahalanobis distance of the classifier's pooled features (Lee et al., NeurIPS 2018), after a square
root: pooled features are averages of ReLU outputs and skewed to the right, and a normal distribution fits their roots
better. The covariance of hundreds of features from thousands of slices is shrunk (Ledoit and Wolf, 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNUSUAL = 0.95
"""Quantile of validation slices above which a slice is unusual and causes a warning."""
BEYOND = 0.99
"""Quantile above which the classifier must not judge a slice. At 0.95 a source that was left out of the fit would lose
a fifth of its patients (docs/decisions/020-out-of-distribution.md)."""


@dataclass(frozen=True)
class Levels:
    """Limits of the score."""

    unusual: float
    limit: float

    def __post_init__(self) -> None:
        if not 0 < self.unusual <= self.limit:
            raise ValueError(f"expected 0 < unusual <= limit, found {self.unusual} and {self.limit}")


@dataclass(frozen=True)
class Typicality:
    """Distribution of typical slices: a normal distribution of the square roots of their features."""

    mean: NDArray[np.float32]
    """(C,)."""
    whitening: NDArray[np.float32]
    """(C, C): whitens the distribution."""

    def atypicality(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) distance from typical slices per feature, about 1 for a slice of the fit.

        Args:
            features: (N, C), not negative.
        """
        white = (_roots(features) - self.mean) @ self.whitening  # (N, C)
        return np.asarray(np.sqrt((white**2).mean(1)), np.float32)

    def save(self, path: Path) -> None:
        """Write as NumPy NPZ in 16 bits, which changes a distance by less than 0.01."""
        with path.open("wb") as stream:
            np.savez(stream, mean=self.mean.astype(np.float16), whitening=self.whitening.astype(np.float16))

    @classmethod
    def load(cls, path: Path) -> Typicality:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["mean"].astype(np.float32), stored["whitening"].astype(np.float32))


def fit_typicality(features: NDArray[np.float32]) -> Typicality:
    """Fit the distribution of training slices (N, C).

    Raises:
        ValueError: fewer than two slices.
    """
    if len(features) < 2:
        raise ValueError(f"expected at least two slices, found {len(features)}")
    roots = _roots(features).astype(np.float64)
    mean = roots.mean(0)
    variances, axes = np.linalg.eigh(_shrunk_covariance(roots - mean))
    return Typicality(mean.astype(np.float32), (axes / np.sqrt(variances)).astype(np.float32))


def fit_levels(atypicality: NDArray[np.float32]) -> Levels:
    """Quantiles `UNUSUAL` and `BEYOND` of the scores (N,) of slices that took no part in `fit_typicality`."""
    unusual, limit = np.quantile(atypicality, [UNUSUAL, BEYOND])
    return Levels(round(float(unusual), 3), round(float(limit), 3))


def _roots(features: NDArray[np.float32]) -> NDArray[np.float32]:
    # 8-bit arithmetic may leave an average of ReLU outputs slightly below zero.
    return np.asarray(np.sqrt(np.maximum(features, 0)))


def _shrunk_covariance(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, C): covariance shrunk towards equal variances (Ledoit and Wolf 2004, lemmas 3.2 to 3.4)."""
    count, width = centred.shape
    covariance = centred.T @ centred / count
    scale = np.trace(covariance) / width
    spread = float(((covariance - scale * np.eye(width)) ** 2).sum())
    squares = centred**2
    # Mean over slices of |x xᵀ - S|² over their number; as S is the mean of x xᵀ, that mean is one of |x|⁴ less |S|².
    noise = float((squares.sum(1) ** 2).mean() - (covariance**2).sum()) / count
    share = min(1.0, max(0.0, noise / spread)) if spread else 1.0
    # Where all features are equal there is no variance at all; the smallest number keeps the distance finite.
    floor = np.finfo(np.float32).eps
    return np.asarray((1 - share) * covariance + (share * scale + floor) * np.eye(width), np.float64)
