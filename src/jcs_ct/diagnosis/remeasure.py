"""Outlines in, measures out: what a user drew or edited, measured as the opacities of a diagnosis are.

No network runs or is loaded, so nothing here is decided. A verdict is carried over from an earlier result of the same
study, or there is none (`Verdict.NOT_ASSESSED`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct._version import __version__
from jcs_ct.cropped_volume import CroppedVolume, Volume, marked_pixels
from jcs_ct.diagnosis import fitness
from jcs_ct.diagnosis.clock import Clock
from jcs_ct.diagnosis.cross_check import disagreement
from jcs_ct.diagnosis.explanation import looks_elsewhere
from jcs_ct.diagnosis.lung_regions import sides_are_known
from jcs_ct.diagnosis.measure import MeasureSettings, find_lesions, measure_lesions, slice_burden, unassessed
from jcs_ct.diagnosis.measured import Measured
from jcs_ct.diagnosis.decision import CrossCheck, ExplanationCheck, Provenance, RuleOutcome, TypicalityCheck, Verdict
from jcs_ct.diagnosis.measured import Measures
from jcs_ct.diagnosis.result import Diagnosis, SliceFinding
from jcs_ct.diagnosis.slices import FoundLungs, find_lungs
from jcs_ct.diagnosis.typicality import atypical_cautions
from jcs_ct.diagnosis.given_masks import GivenMasks
from jcs_ct.diagnosis.whole_lungs import outside_remark, whole_lungs
from jcs_ct.errors import UsageError
from jcs_ct.morphology import Mask
from jcs_ct.normalization import inside_mask, lies_on_its_side, turned_upright
from jcs_ct.notices import texts
from jcs_ct.study import quality
from jcs_ct.study.outlines import SEMIAUTOMATIC, OutlineSource
from jcs_ct.study.volume import Study

EVERY_VOXEL = MeasureSettings(minimum_volume_ml=0.0, minimum_voxels=0)
"""A user means each voxel; only a network makes noise."""
MEASURED_ONLY = (
    "measured only: no decision was asked for, so this result is neither positive nor negative; the outlines were given"
)
CARRIED_OVER = (
    "carried over from an earlier result of this study; the outlines were edited since, and measures are of the edited "
    "ones"
)
COUNTED = "; they were measured and count as lung"
NO_LUNGS_TO_MEASURE = "no lungs were found that opacities could be measured against; give a lung mask"


@dataclass(frozen=True)
class EarlierResult:
    """The decision of an earlier diagnosis, to be carried over to edited outlines."""

    digest: str
    """Of the study."""
    verdict: Verdict
    reasons: tuple[str, ...]
    probability: float | None
    rule: RuleOutcome | None
    slices: tuple[SliceFinding, ...]
    provenance: Provenance
    activation: CroppedVolume[np.uint8] | None = None
    """(Z, H, W) canonical; None where it was not kept."""
    explanation: ExplanationCheck | None = None
    """Of the decision, so against the opacities that were outlined then."""
    typicality: TypicalityCheck | None = None
    """Of the decision's slices."""
    cross_check: CrossCheck | None = None
    """Of the outlines that the segmenter made then."""

    @classmethod
    def of(cls, diagnosis: Diagnosis) -> EarlierResult:
        """What is carried over of a diagnosis in memory."""
        return cls(
            diagnosis.study.digest, diagnosis.verdict, diagnosis.reasons, diagnosis.probability, diagnosis.rule,
            diagnosis.slices, diagnosis.provenance, diagnosis.activation, diagnosis.explanation, diagnosis.typicality,
            diagnosis.cross_check,
        )  # fmt: skip

    @property
    def decision(self) -> Provenance:
        """What made the decision: this result, or one before it whose outlines were edited."""
        return self.provenance.decision or self.provenance

    def fit(self, study: Study) -> None:
        """Check that the result is of this study, and that something was decided in it.

        Raises:
            UsageError: it is of another one, or holds measures only.
        """
        if not self.decision.weights:
            raise UsageError(
                "the earlier result holds no decision that could be carried over, as no network ran for it either; "
                "give what jcs diagnose wrote, or none"
            )
        if self.digest != study.digest or len(self.slices) != len(study):
            raise UsageError(
                f"the earlier result is of another study: found the digest {self.digest[:16]}, expected "
                f"{study.digest[:16]}; give the result of this study and series, or none"
            )


def measure_outlines(
    study: Study,
    outlines: Mask,
    lungs: Volume[np.bool_] | None = None,
    lobes: NDArray[np.uint8] | None = None,
    earlier: EarlierResult | None = None,
    source: OutlineSource | None = None,
) -> Diagnosis:
    """Measure opacities that were outlined by hand or edited. Loads no network.

    Every voxel counts, also those outside of given lungs. Opacities are the connected pieces of the mask, whatever
    segments it was drawn in: two that touch are one.

    Args:
        study: as `read_study` gives it, or the `study` of a diagnosis.
        outlines: (Z, H, W) on the voxels of `study`: True in opacities.
        lungs: (Z, H, W) on the same voxels; found from the voxels if not given, which takes seconds.
        lobes: (Z, H, W), 0 or the labels of `lung_regions.LOBES`.
        earlier: decision on the same study to carry over; without, the verdict is `not_assessed`.
        source: where the outlines are from, for the provenance.

    Returns:
        A diagnosis as `Diagnoser.run` gives it, without activation mapping unless `earlier` holds one. Its verdict is
        `not_assessable` where the study must not be judged, or shows no lungs and none were given.

    Raises:
        UsageError: a mask does not fit the study, or `earlier` is of another one or holds no decision.

    Example:
        >>> from jcs_ct import Diagnoser, measure_outlines, read_study  # doctest: +SKIP
        >>> diagnosis = Diagnoser().run(read_study("study"))  # doctest: +SKIP
        >>> mask = np.asarray(diagnosis.lesion_labels) > 1  # without the largest opacity  # doctest: +SKIP
        >>> edited = measure_outlines(diagnosis.study, mask, diagnosis.lung_mask)  # doctest: +SKIP
    """
    clock, given = Clock(), GivenMasks(None if lungs is None else np.asarray(lungs), lobes)
    given.fit(study)
    if outlines.shape != study.voxels.shape:
        raise UsageError(f"the outlines have the shape {outlines.shape}, expected {study.voxels.shape} as the study")
    if earlier is not None:
        earlier.fit(study)
    provenance = _provenance(given, earlier, source or OutlineSource())
    if objections := texts(quality.refusals(study)):
        return _not_assessable(study, objections, provenance, clock)
    with clock("lungs"):
        upright, given, found = _upright(study, given)
        if upright is not study:
            outlines = np.rot90(outlines, 1, (1, 2))
    if given.whole_lungs() is None and found is None:
        return _not_assessable(study, (NO_LUNGS_TO_MEASURE,), provenance, clock)
    with clock("measure"):
        measured, remarks = _measure(upright, outlines, given, found)
    return _diagnosis(upright, measured, earlier, provenance, remarks, clock)


def _upright(study: Study, given: GivenMasks) -> tuple[Study, GivenMasks, FoundLungs | None]:
    """The study and what was given for it, turned upright, and the lungs where they have to be found."""
    known = given.whole_lungs()
    if known is None:
        found = find_lungs(study)
        return (study if found is None else found.study), given, found
    if lies_on_its_side(study, known):
        return turned_upright(study), given.turned(), None
    return study, given, None


def _measure(
    study: Study, outlines: Mask, given: GivenMasks, found: FoundLungs | None
) -> tuple[Measured, tuple[str, ...]]:
    """Measures, and what to know about the lungs that they are made against."""
    labels = find_lesions(outlines, study, EVERY_VOXEL)
    if lost := int(marked_pixels(outlines).sum() - marked_pixels(labels).sum()):
        raise UsageError(
            f"the outlines fall into more pieces than can be numbered, {lost} voxels are left over; expected at most "
            f"{np.iinfo(labels.dtype).max} pieces: smooth or clean them first"
        )
    lungs: Volume[np.bool_] | None = given.whole_lungs()
    if lungs is not None:
        measured = measure_lesions(labels, None, lungs, study, given.lobes)
        remark = outside_remark(outlines, lungs, COUNTED)
        return measured, () if remark is None else (remark,)
    assert found is not None
    lungs = whole_lungs(found.lung_mask, labels, found.overview, inside_mask(study), found.assessed)
    doubts = (*fitness.lung_objections(found), *fitness.lung_cautions(found))
    return measure_lesions(labels, None, lungs, study), tuple(dict.fromkeys(doubts))


def _not_assessable(study: Study, reasons: tuple[str, ...], provenance: Provenance, clock: Clock) -> Diagnosis:
    return Diagnosis(
        study, Verdict.NOT_ASSESSABLE, reasons, None, None, unassessed(study), (), Measures(None, None, None, 0),
        replace(provenance, decision=None), clock.total(), texts(quality.warnings(study)),
    )  # fmt: skip


def _diagnosis(
    study: Study,
    measured: Measured,
    earlier: EarlierResult | None,
    provenance: Provenance,
    remarks: tuple[str, ...],
    clock: Clock,
) -> Diagnosis:
    reasons = (MEASURED_ONLY,) if earlier is None else tuple(dict.fromkeys((*earlier.reasons, CARRIED_OVER)))
    explanation = None if earlier is None else earlier.explanation
    typicality = None if earlier is None else earlier.typicality
    look = None if earlier is None else earlier.cross_check
    cautions = (*looks_elsewhere(explanation), *atypical_cautions(typicality), *disagreement(look))
    return Diagnosis(
        study=study,
        verdict=Verdict.NOT_ASSESSED if earlier is None else earlier.verdict,
        reasons=reasons,
        probability=None if earlier is None else earlier.probability,
        rule=None if earlier is None else earlier.rule,
        slices=_findings(study, measured, unassessed(study) if earlier is None else earlier.slices),
        lesions=measured.lesions,
        measures=measured.measures,
        provenance=provenance,
        timing_s=clock.total(),
        warnings=(*texts(quality.warnings(study)), *remarks, *cautions),
        lesion_labels=measured.labels,
        lung_mask=measured.lungs,
        activation=None if earlier is None else earlier.activation,
        lung_sides=measured.sides if sides_are_known(study) else None,
        explanation=explanation,
        typicality=typicality,
        cross_check=look,
    )


def _findings(study: Study, measured: Measured, known: tuple[SliceFinding, ...]) -> tuple[SliceFinding, ...]:
    """Findings with areas and shares of the outlines on every slice: where nothing was drawn, nothing is."""
    areas, shares = slice_burden(measured.labels, measured.lungs, study)
    return tuple(
        replace(one, source=source, lesion_area_mm2=area, lesion_share=share)
        for one, source, area, share in zip(known, study.sources, areas, shares, strict=True)
    )


def _provenance(given: GivenMasks, earlier: EarlierResult | None, source: OutlineSource) -> Provenance:
    settings = {**asdict(EVERY_VOXEL), "given_masks": given.names()}
    if earlier is None:
        return Provenance(__version__, {}, settings, source)
    return Provenance(__version__, {}, settings, replace(source, algorithm_type=SEMIAUTOMATIC), earlier.decision)
