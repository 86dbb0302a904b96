"""What both networks say of a slice, as one calibrated probability that it is infected.

The classifier alone does not hold in other hospitals; how much of the lung the segmenter marks does. A logistic model
of three figures weighs them. It is fitted on validation patients of several sources, each with the same weight.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from jcs_ct.evaluation.calibration import patient_weights

LESION = 0.5
"""A pixel above this probability is marked."""
PEAK_SHARE = 0.005
"""Share of the region whose most suspicious pixels make the peak."""
LEAST_SHARE = 1e-3
"""Added to the marked share before its logarithm, so that an empty slice has a finite one."""
MARGIN_LIMIT = 6.0
"""Margins of the classifier beyond this count no more."""
PEAK_LIMIT = 1e-3
"""Peaks are kept this far from 0 and 1 before their logit is taken."""
PENALTY = 1e-3
"""Of the squared weights, so that figures that say the same share them."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Burden:
    """What the segmenter marks on slices; position k of each array is slice k."""

    share: Float
    """(N,): of the region that is marked."""
    peak: Float
    """(N,): mean probability of the most suspicious `PEAK_SHARE` of the region."""

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], regions: NDArray[np.bool_]) -> Burden:
        """From lesion probabilities (N, h, w) and the hulls of the lungs (N, h, w), as a diagnosis has them."""
        found = [_burden(own[region]) for own, region in zip(probabilities, regions, strict=True)]
        share, peak = zip(*found, strict=True) if found else ((), ())
        return cls(np.array(share, np.float64), np.array(peak, np.float64))


def _burden(inside: NDArray[np.float32]) -> tuple[float, float]:
    if not len(inside):
        return 0.0, 0.0
    count = max(1, round(PEAK_SHARE * len(inside)))
    highest = np.partition(inside, len(inside) - count)[-count:]
    return float((inside > LESION).mean()), float(highest.mean())


@dataclass(frozen=True)
class SliceEvidence:
    """Weights of the three figures, and the bias."""

    margin: float
    """Of the classifier's logit(infected) - logit(uninfected), not calibrated."""
    share: float
    """Of the logarithm of the marked share."""
    peak: float
    """Of the logit of the peak."""
    bias: float

    def __post_init__(self) -> None:
        if min(self.margin, self.share, self.peak) < 0:
            raise ValueError(f"expected weights that are not negative, found {asdict(self)}")

    def apply(self, margins: NDArray[Any], burden: Burden) -> NDArray[np.float32]:
        """(N,) calibrated probability that a slice is infected.

        Args:
            margins: (N,), the classifier's second logit less its first.
            burden: of the same slices.
        """
        logit = _figures(margins, burden) @ np.array([self.margin, self.share, self.peak]) + self.bias
        return np.asarray(special.expit(logit), np.float32)


def _figures(margins: NDArray[Any], burden: Burden) -> Float:
    """(N, 3): margin, logarithm of the share above its least value, logit of the peak."""
    peak = special.logit(np.clip(burden.peak, PEAK_LIMIT, 1 - PEAK_LIMIT))
    share = np.log10(burden.share + LEAST_SHARE) - np.log10(LEAST_SHARE)
    return np.stack([np.clip(margins, -MARGIN_LIMIT, MARGIN_LIMIT), share, peak], 1).astype(np.float64)


def fit_evidence(
    margins: NDArray[Any], burden: Burden, positive: NDArray[np.bool_], groups: NDArray[Any]
) -> SliceEvidence:
    """The weights of least log loss, where both classes weigh the same and within each all patients.

    Weights are kept from being negative: more of either figure never makes a slice less suspicious.

    Args:
        margins: (N,).
        burden: of the same slices.
        positive: (N,) whether they are infected.
        groups: (N,) patient of each.

    Raises:
        ValueError: a class is missing.
    """
    if positive.all() or not positive.any():
        raise ValueError("the evidence needs slices of both classes")
    figures = np.column_stack([_figures(margins, burden), np.ones(len(margins))])
    sign = np.where(positive, 1.0, -1.0)
    weight = patient_weights(positive, groups)

    def log_loss(line: Float) -> float:
        return float(np.logaddexp(0, -sign * (figures @ line)) @ weight + PENALTY * (line[:-1] ** 2).sum())

    bounds = [(0.0, None)] * 3 + [(None, None)]
    line = optimize.minimize(log_loss, np.zeros(4), method="L-BFGS-B", bounds=bounds).x
    return SliceEvidence(*(round(float(value), 4) for value in line))
