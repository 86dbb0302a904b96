"""Intervals of an outlined area: split-conformal thresholds of the segmenter's probability.

The area above a threshold falls as the threshold rises, so each slice has one threshold at which the network marks as
much as the reader did. On slices that the network was not trained on, these thresholds are exchangeable with those of
new slices. Their quantiles, with the finite-sample correction, bracket the next threshold with probability `coverage`
(Vovk et al., Algorithmic Learning in a Random World, 2005; applied once to each end). The areas above the upper and
above the lower threshold are the bounds of the interval. No second network and no second pass is needed.

The guarantee does not hold for slices that the network was trained on, because it agrees better with the reader there.
The coverage is therefore also measured on test slices (`AreaThresholds.measured`). A network that was trained on all
other slices gets fixed thresholds, with measured coverage and no guarantee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS = 255
"""Probabilities are kept as bytes, 0..1 stored as 0..255."""
MIDDLE = 127
"""Bytes above this are a probability above 0.5."""


@dataclass(frozen=True)
class AreaThresholds:
    """Two thresholds of the segmenter's probability; the areas above them bound the true area."""

    lower: float
    """The area above it is the upper bound."""
    upper: float
    """The area above it is the lower bound."""
    coverage: float | None
    """Share of slices whose reader's area should lie between the bounds; None without a guarantee."""
    measured: float | None = None
    """That share on test slices, which did not choose the thresholds; None if it was not measured."""

    def __post_init__(self) -> None:
        if not 0 <= self.lower <= 0.5 <= self.upper <= 1:
            raise ValueError(f"expected thresholds around 0.5, found {self.lower} and {self.upper}")
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise ValueError(f"expected a coverage between 0 and 1, found {self.coverage}")
        if self.measured is not None and not 0 <= self.measured <= 1:
            raise ValueError(f"expected a measured share between 0 and 1, found {self.measured}")

    @property
    def levels(self) -> tuple[int, int]:
        """Lower and upper threshold as bytes; values above them count."""
        return round(STEPS * self.lower), round(STEPS * self.upper)

    def enclose(self, level: int) -> bool:
        """Whether a level, as a byte, lies between the two; no interval encloses the volume of another one."""
        return self.levels[0] <= level <= self.levels[1]


def area_above(probability: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(256,): how many pixels lie above each level.

    Args:
        probability: of any shape, 0..1 stored as 0..255.
    """
    counts = np.bincount(probability.ravel(), minlength=STEPS + 1)
    return np.asarray(counts.sum() - np.cumsum(counts), np.int64)


def matching_levels(above: NDArray[np.int64], area: int) -> tuple[int, int]:
    """The levels between which a slice's area equals the reader's.

    Args:
        above: (256,) as `area_above` gives it.
        area: pixels that the reader outlined.

    Returns:
        The highest level above which at least that much lies, −1 if there is none, and the lowest above which at most
        that much does.
    """
    at_least = np.flatnonzero(above >= area)
    return int(at_least[-1]) if len(at_least) else -1, int(np.flatnonzero(above <= area)[0])


def fit_area_thresholds(levels: NDArray[np.int64], coverage: float) -> AreaThresholds:
    """Fit thresholds that cover the wanted share of slices; each end gets half of the error.

    Args:
        levels: (N, 2) of `matching_levels`, one row a slice.
        coverage: wanted share of slices.

    Raises:
        ValueError: too few slices for that coverage: a threshold would have to lie beyond all of them.
    """
    count, tail = len(levels), (1 - coverage) / 2
    # Tolerance: 20 * 0.05 is slightly more than 1 in floating point.
    low, high = math.floor((count + 1) * tail + 1e-9), math.ceil((count + 1) * (1 - tail) - 1e-9)
    if low < 1 or high > count:
        raise ValueError(
            f"found {count} slices, expected at least {math.ceil(1 / tail - 1 - 1e-9)} for a coverage of {coverage:g}"
        )
    lower, upper = np.sort(levels[:, 0])[low - 1], np.sort(levels[:, 1])[high - 1]
    return AreaThresholds(
        round(min(max(int(lower), 0), MIDDLE) / STEPS, 4), round(max(int(upper), MIDDLE + 1) / STEPS, 4), coverage
    )


def covered(above: NDArray[np.int64], area: int, thresholds: AreaThresholds) -> bool:
    """Whether the reader's area lies between the areas above the two thresholds."""
    lower, upper = thresholds.levels
    return bool(above[upper] <= area <= above[lower])
