"""What both networks say of a slice, as one calibrated probability that it is infected.

The classifier alone does not hold in other hospitals; how much of the lung the segmenter marks does. A logistic model
weighs both. It is fitted on patients of several sources, each with the same weight.
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
LEAST_SHARE = 1e-3
"""Added to the marked share before its logarithm, so that an empty slice has a finite one."""
MARGIN_LIMIT = 3.0
"""Margins of the classifier beyond this count no more."""
MOST_MARGIN = 0.3
"""Largest weight of the margin. On pictures it separates the sources that it was trained on; on whole studies in HU
from elsewhere its slice AUC is .62, that of the marked share .94 (version 0.1.0). So the share decides."""
PREVALENCE = 0.3
"""Assumed share of infected slices. The fit weighs both classes alike, but whole studies hold fewer infected slices.
A marked share of about 1 % then gives a probability of one half."""
PENALTY = 1e-3
"""Of the squared weights, so that classes that separate perfectly do not make them infinite."""

Float = NDArray[np.float64]


def marked_share(probabilities: NDArray[np.float32], regions: NDArray[np.bool_]) -> Float:
    """(N,): share of each region that is marked; 0 for an empty region.

    Args:
        probabilities: (N, h, w), of lesion.
        regions: (N, h, w), the hulls of the lungs, as a diagnosis has them.
    """
    inside = ((probabilities > LESION) & regions).sum((1, 2))
    return np.asarray(inside / np.maximum(regions.sum((1, 2)), 1), np.float64)


@dataclass(frozen=True)
class SliceEvidence:
    """Weights of the two figures, and the bias."""

    margin: float
    """Of the classifier's logit(infected) - logit(uninfected), not calibrated."""
    share: float
    """Of the natural logarithm of (share + `LEAST_SHARE`) / `LEAST_SHARE`."""
    bias: float

    def __post_init__(self) -> None:
        if min(self.margin, self.share) < 0:
            raise ValueError(f"expected weights that are not negative, found {asdict(self)}")

    def apply(self, margins: NDArray[Any], shares: NDArray[Any]) -> NDArray[np.float32]:
        """(N,) calibrated probability that a slice is infected.

        Args:
            margins: (N,), the classifier's second logit less its first.
            shares: (N,), `marked_share` of the same slices.
        """
        logit = _figures(margins, shares) @ np.array([self.margin, self.share]) + self.bias
        return np.asarray(special.expit(logit), np.float32)


def _figures(margins: NDArray[Any], shares: NDArray[Any]) -> Float:
    """(N, 2): margin within its limits, logarithm of the share above its least value."""
    share = np.log1p(np.asarray(shares, np.float64) / LEAST_SHARE)
    return np.stack([np.clip(margins, -MARGIN_LIMIT, MARGIN_LIMIT), share], 1).astype(np.float64)


def fit_evidence(
    margins: NDArray[Any], shares: NDArray[Any], positive: NDArray[np.bool_], groups: NDArray[Any]
) -> SliceEvidence:
    """The weights of least log loss, where both classes weigh the same and within each all patients.

    The bias is then moved from classes of equal size to `PREVALENCE`.

    Weights are kept from being negative: more of either figure never makes a slice less suspicious.

    Args:
        margins: (N,).
        shares: (N,).
        positive: (N,) whether they are infected.
        groups: (N,) patient of each.

    Raises:
        ValueError: a class is missing.
    """
    if positive.all() or not positive.any():
        raise ValueError("the evidence needs slices of both classes")
    figures = np.column_stack([_figures(margins, shares), np.ones(len(margins))])
    sign = np.where(positive, 1.0, -1.0)
    weight = patient_weights(positive, groups)

    def log_loss(line: Float) -> float:
        return float(np.logaddexp(0, -sign * (figures @ line)) @ weight + PENALTY * (line[:-1] ** 2).sum())

    bounds = [(0.0, MOST_MARGIN), (0.0, None), (None, None)]
    line = optimize.minimize(log_loss, np.zeros(3), method="L-BFGS-B", bounds=bounds).x
    line[-1] += special.logit(PREVALENCE)
    return SliceEvidence(*(round(float(value), 4) for value in line))
