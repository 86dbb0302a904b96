"""Evidence for infection from one or more origins, made comparable on labelled slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from jcs_ct.evaluation.calibration import fit_platt

Scores = NDArray[np.float64]
"""(N,): higher means more likely infected."""


@dataclass(frozen=True)
class Evidence:
    """Scores of slices used for choices (known) and of evaluated slices (evaluated)."""

    known: Scores
    evaluated: Scores

    def standardised(self) -> Evidence:
        """Standardised by mean and spread of the known slices, so that two of them can be added."""
        mean, spread = self.known.mean(), self.known.std() or 1.0
        return Evidence((self.known - mean) / spread, (self.evaluated - mean) / spread)

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.known + other.known, self.evaluated + other.evaluated)

    def probabilities(
        self, infected: NDArray[np.bool_], groups: NDArray[np.str_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N,) of the known and of the evaluated slices, scaled by the known ones, whose labels and groups are given.

        Raises:
            ValueError: evidence and infection do not correlate positively on the known slices.
        """
        known, evaluated = (expit(each).astype(np.float32) for each in (self.known, self.evaluated))
        scaling = fit_platt(known, infected, groups)
        return scaling.apply(known), scaling.apply(evaluated)


def from_origins(**origins: Evidence) -> dict[str, Evidence]:
    """Each by its name, with blanks for underscores, and their sum as `both`."""
    named = {name.replace("_", " "): one for name, one in origins.items()}
    first, *others = (one.standardised() for one in origins.values())
    return named | {"both": sum(others, first)}
