"""The patient rule: from slices to a verdict (paper §III-A1 and Table IV).

The paper calls a patient positive if the number of infected slices reaches a threshold, 25 in its main result, on
scans of 250 to 400 slices about 1 mm apart. The same rule on other scans is the same extent along the patient: 25 mm,
whatever the distance of the slices. Where positions are unknown it is the same share of the slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.decision import Decision, RuleOutcome, ThresholdStep, Verdict
from jcs_ct.diagnosis.stability import stability
from jcs_ct.notices import Notice, Value, notice

PAPER_THRESHOLDS = (15, 20, 25, 30)
"""Table IV."""
CURVE = tuple(range(5, 101, 5))
"""Thresholds of the paper's kind at which the verdict is shown."""


@dataclass(frozen=True)
class PatientRule:
    """Settings of the rule; checked when made."""

    paper_threshold: int = 25
    """Infected slices on a scan like the paper's."""
    paper_slice_distance_mm: float = 1.0
    """The paper's scans have slices of 0.75 to 1.25 mm."""
    paper_slice_count: int = 325
    """The paper's scans have 250 to 400 slices; for inputs without positions."""
    slice_probability: float = 0.5
    """A slice is infected above this: the larger of the two classes, as in the paper."""
    minimum_assessed: int = 5
    """Fewer lung slices than this say nothing about a patient."""
    minimum_infected: int = 2
    """One slice alone never makes a patient positive."""

    def __post_init__(self) -> None:
        if not 0 < self.slice_probability < 1:
            raise ValueError(f"expected a slice probability between 0 and 1, found {self.slice_probability}")
        if min(self.paper_threshold, self.paper_slice_count, self.minimum_infected) < 1:
            raise ValueError("expected thresholds of at least 1")

    def threshold(self, paper_threshold: float, slice_distance_mm: float | None, slice_count: int) -> float:
        """A threshold of the paper's kind in slices of this study."""
        if slice_distance_mm is not None:
            own = paper_threshold * self.paper_slice_distance_mm / slice_distance_mm
        else:
            own = paper_threshold / self.paper_slice_count * slice_count
        # Rounded as it is reported: 25 slices at 0.99999999 mm must reach a threshold that reads 25.
        return max(round(own, 3), float(self.minimum_infected))


def decide(
    probabilities: NDArray[np.float32],
    extents_mm: NDArray[np.float64] | None,
    slice_count: int,
    rule: PatientRule,
) -> Decision:
    """Apply the rule.

    With a threshold of T slices, the patient's probability is that of the T-th most suspicious slice. It exceeds
    `slice_probability` exactly if the verdict is positive. Slices are calibrated, the patient is not.

    Args:
        probabilities: (M,) of the assessed slices.
        extents_mm: (M,) length along the patient that each stands for, or None where the input does not tell.
        slice_count: all slices of the study, assessed or not.
        rule: settings.
    """
    distance = None if extents_mm is None else float(np.median(extents_mm))
    infected = probabilities > rule.slice_probability
    count, assessed = int(infected.sum()), len(probabilities)
    threshold = rule.threshold(rule.paper_threshold, distance, slice_count)
    outcome = RuleOutcome(
        infected_slices=count,
        assessed_slices=assessed,
        threshold=threshold,
        unit="slices by fraction" if distance is None else "slices by mm",
        infected_extent_mm=None if extents_mm is None else float(extents_mm[infected].sum()),
        explanation=_explanation(rule, threshold, distance, slice_count),
        curve=tuple(_curve(rule, count, distance, slice_count)),
    )
    if assessed < rule.minimum_assessed:
        few = notice("few-lung-slices", assessed=assessed, least=rule.minimum_assessed)
        return Decision(Verdict.NOT_ASSESSABLE, (few,), rule=outcome)
    deciding = min(math.ceil(threshold), assessed)
    probability = float(np.sort(probabilities)[-deciding])
    if math.ceil(threshold) > assessed:  # the rule asks for more slices than there are
        probability = min(probability, rule.slice_probability)
    values: dict[str, Value] = {"infected": count, "assessed": assessed, "threshold": threshold}
    steady = stability(probabilities, outcome, rule.slice_probability)
    if count >= threshold:
        return Decision(Verdict.POSITIVE, (notice("threshold-reached", **values),), probability, outcome, steady)
    return Decision(Verdict.NEGATIVE, (notice("threshold-not-reached", **values),), probability, outcome, steady)


def _explanation(rule: PatientRule, threshold: float, distance: float | None, slice_count: int) -> Notice:
    values: dict[str, Value] = {"paper_threshold": rule.paper_threshold, "threshold": threshold}
    if distance is not None:
        paper = rule.paper_slice_distance_mm
        return notice("threshold-by-distance", **values, paper_distance_mm=paper, distance_mm=distance)
    return notice("threshold-by-share", **values, paper_count=rule.paper_slice_count, count=slice_count)


def _curve(rule: PatientRule, count: int, distance: float | None, slice_count: int) -> Sequence[ThresholdStep]:
    wanted = sorted({*CURVE, *PAPER_THRESHOLDS, rule.paper_threshold})
    own = [rule.threshold(paper, distance, slice_count) for paper in wanted]
    return [ThresholdStep(p, t, count >= t) for p, t in zip(wanted, own, strict=True)]
