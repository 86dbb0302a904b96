"""What is gained by not answering: risk over coverage (El-Yaniv and Wiener, JMLR 2010; Geifman et al., ICLR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RiskCoverage:
    """The share of wrong answers among those kept, over the share that is kept, most certain first."""

    coverage: NDArray[np.float64]
    """(N,) ascending to 1."""
    risk: NDArray[np.float64]
    """(N,) 0..1."""

    @property
    def area(self) -> float:
        """Under the curve: the mean risk over all coverages; that of all answers where the order is chance."""
        return float(self.risk.mean())

    def at(self, coverage: float) -> float:
        """Risk where at least this share of answers is kept."""
        return float(self.risk[np.searchsorted(self.coverage, coverage - 1e-9)])


def risk_coverage(wrong: NDArray[np.bool_], doubt: NDArray[np.floating[Any]]) -> RiskCoverage:
    """The curve of leaving out the most doubtful answers first; equal doubts count as their mean.

    Args:
        wrong: (N,) which answers are.
        doubt: (N,) higher for those to leave out first.

    Raises:
        ValueError: there are no answers.
    """
    if not len(wrong):
        raise ValueError("expected at least one answer")
    _, place = np.unique(doubt, return_inverse=True)
    share = np.bincount(place, wrong) / np.bincount(place)  # of each doubt, whatever order equals come in
    kept = np.arange(1, len(wrong) + 1)
    return RiskCoverage(kept / len(wrong), np.cumsum(share[np.sort(place)]) / kept)
