"""What a diagnosis holds: a decision, measures, and notices about both. Plain data: nothing in here computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.decision import (
    CrossCheck,
    Decision,
    ExplanationCheck,
    Provenance,
    RuleOutcome,
    SliceScore,
    Stability,
    TypicalityCheck,
    Verdict,
)
from jcs_ct.diagnosis.measured import Lesion, Measured, Measures, SliceBurden
from jcs_ct.notices import Notice, Severity
from jcs_ct.study.volume import Study


@dataclass(frozen=True)
class SliceFinding:
    """What was found on one slice: its score and its burden together, as reports list them."""

    index: int
    """Position in the canonical stack, 0 at the feet (image folders: reading order)."""
    source: str
    position_mm: float | None
    assessed: bool
    """False if the slice shows too little lung, or no network ran."""
    probability: float | None = None
    infected: bool | None = None
    lesion_area_mm2: float | None = None
    lesion_share: float | None = None
    """See `SliceBurden`."""
    atypicality: float | None = None
    """See `SliceScore`."""
    classifier_probability: float | None = None
    """See `SliceScore`."""


_NOT_MEASURED = Measures(None, None, None, 0)


@dataclass(frozen=True)
class Diagnosis:
    """The result for one study: a decision, measures, and what to know about both.

    Its volumes are cropped: `np.asarray` makes an array of one. The properties give what the halves hold.
    """

    study: Study
    decision: Decision
    measured: Measured | None
    """None if nothing was outlined."""
    notices: tuple[Notice, ...]
    """Everything to know about input and result, except the reasons of the decision."""
    provenance: Provenance
    """What made this result. It differs from the decision's if outlines were edited."""
    timing_s: dict[str, float]

    @property
    def verdict(self) -> Verdict:
        """See `Decision`."""
        return self.decision.verdict

    @property
    def reasons(self) -> tuple[Notice, ...]:
        """See `Decision`."""
        return self.decision.reasons

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """The notices that limit how far the result can be relied on."""
        return tuple(each for each in self.notices if each.severity is not Severity.INFO)

    @property
    def remarks(self) -> tuple[Notice, ...]:
        """The notices that are worth knowing and limit nothing."""
        return tuple(each for each in self.notices if each.severity is Severity.INFO)

    @property
    def probability(self) -> float | None:
        """See `Decision`."""
        return self.decision.probability

    @property
    def rule(self) -> RuleOutcome | None:
        """See `Decision`."""
        return self.decision.rule

    @property
    def stability(self) -> Stability | None:
        """See `Decision`."""
        return self.decision.stability

    @property
    def borderline(self) -> bool:
        """Whether a small perturbation would change the verdict; a notice then says so."""
        return self.stability is not None and self.stability.borderline

    @property
    def activation(self) -> CroppedVolume[np.uint8] | None:
        """See `Decision`."""
        return self.decision.activation

    @property
    def explanation(self) -> ExplanationCheck | None:
        """See `Decision`."""
        return self.decision.explanation

    @property
    def typicality(self) -> TypicalityCheck | None:
        """See `Decision`."""
        return self.decision.typicality

    @property
    def cross_check(self) -> CrossCheck | None:
        """See `Decision`."""
        return self.decision.cross_check

    @property
    def networks_disagree(self) -> bool:
        """Whether one of the tasks alone contradicts the verdict; a notice then says so."""
        return self.cross_check is not None and not self.cross_check.agrees

    @property
    def carried_over(self) -> bool:
        """Whether the decision comes from an earlier result, whose outlines were edited since."""
        return self.provenance.outlines is not None and self.decision.provenance is not None

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """See `Measured`."""
        return () if self.measured is None else self.measured.lesions

    @property
    def measures(self) -> Measures:
        """See `Measured`; all unknown if nothing was outlined."""
        return _NOT_MEASURED if self.measured is None else self.measured.measures

    @property
    def lesion_labels(self) -> CroppedVolume[np.uint16] | None:
        """See `Measured.labels`."""
        return None if self.measured is None else self.measured.labels

    @property
    def lung_mask(self) -> CroppedVolume[np.bool_] | None:
        """See `Measured.lungs`."""
        return None if self.measured is None else self.measured.lungs

    @property
    def lung_sides(self) -> CroppedVolume[np.uint8] | None:
        """See `Measured.sides`."""
        return None if self.measured is None else self.measured.sides

    @cached_property
    def slices(self) -> tuple[SliceFinding, ...]:
        """What was found on each slice, from both halves."""
        count, geometry = len(self.study), self.study.geometry
        places = [None] * count if geometry is None else geometry.slice_positions.tolist()
        scores = self.decision.scores or (SliceScore(),) * count
        burden = (SliceBurden(),) * count if self.measured is None else self.measured.burden
        return tuple(
            SliceFinding(
                index, source, place, score.assessed, score.probability, score.infected, outlined.area_mm2,
                outlined.share, score.atypicality, score.classifier_probability,
            )
            for index, (source, place, score, outlined) in enumerate(
                zip(self.study.sources, places, scores, burden, strict=True)
            )
        )  # fmt: skip
