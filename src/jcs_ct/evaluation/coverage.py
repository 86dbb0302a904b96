"""Selective prediction: risk over coverage (El-Yaniv and Wiener, JMLR 2010; Geifman et al., ICLR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RiskCoverage:
    """Share of wrong answers among those kept, as a function of the share kept, most certain first."""

    coverage: NDArray[np.float64]
    """(N,) ascending to 1."""
    risk: NDArray[np.float64]
    """(N,) 0..1."""

    @property
    def area(self) -> float:
        """Area under the curve: the mean risk over all coverages; a random order gives the overall error."""
        return float(self.risk.mean())

    def at(self, coverage: float) -> float:
        """Risk if at least this share of answers is kept."""
        return float(self.risk[np.searchsorted(self.coverage, coverage - 1e-9)])


def risk_coverage(wrong: NDArray[np.bool_], doubt: NDArray[np.floating[Any]]) -> RiskCoverage:
    """The curve if the most doubtful answers are left out first; ties count as their mean.

    Args:
        wrong: (N,) whether each answer is wrong.
        doubt: (N,) answers with higher values are left out first.

    Raises:
        ValueError: there are no answers.
    """
    if not len(wrong):
        raise ValueError("expected at least one answer")
    _, place = np.unique(doubt, return_inverse=True)
    share = np.bincount(place, wrong) / np.bincount(place)  # mean over ties, so that their order does not matter
    kept = np.arange(1, len(wrong) + 1)
    return RiskCoverage(kept / len(wrong), np.cumsum(share[np.sort(place)]) / kept)
