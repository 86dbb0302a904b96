"""Measure outlines that a user drew or edited, as the opacities of a diagnosis are measured.

No network but that for lungs runs, and that only where no lungs are given. Nothing is decided here. The decision of an
earlier result of the same study is carried over, or there is none (`Verdict.NOT_ASSESSED`).
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct._version import __version__
from jcs_ct.cropped_volume import Volume, marked_pixels
from jcs_ct.diagnosis import fitness
from jcs_ct.diagnosis.clock import Clock
from jcs_ct.diagnosis.decision import Decision, Provenance, Verdict
from jcs_ct.diagnosis.doubts import doubts_about
from jcs_ct.diagnosis.given_masks import GivenMasks, lungs_to_measure, outside_given_lungs
from jcs_ct.diagnosis.measure import MeasureSettings, find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Measured
from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.slices import FoundLungs, find_lungs
from jcs_ct.errors import UsageError
from jcs_ct.morphology import Mask
from jcs_ct.normalization import lies_on_its_side, turned_upright
from jcs_ct.notices import Notice, notice
from jcs_ct.study import quality
from jcs_ct.study.outlines import SEMIAUTOMATIC, OutlineSource
from jcs_ct.study.volume import Study

EVERY_VOXEL = MeasureSettings(minimum_volume_ml=0.0, minimum_voxels=0)
"""A user means each voxel; only a network makes noise."""


def measure_outlines(
    study: Study,
    outlines: Mask,
    lungs: Volume[np.bool_] | None = None,
    lobes: NDArray[np.uint8] | None = None,
    earlier: Decision | None = None,
    source: OutlineSource | None = None,
) -> Diagnosis:
    """Measure opacities that were outlined by hand or edited. With given lungs no network is loaded.

    Every voxel counts, even outside given lungs. Opacities are the connected pieces of the mask, whatever segments it
    was drawn in: two that touch are one.

    Args:
        study: as `read_study` gives it, or the `study` of a diagnosis.
        outlines: (Z, H, W) on the voxels of `study`: True in opacities.
        lungs: (Z, H, W) on the same voxels; found by the lung network that ships if None, which takes seconds.
        lobes: (Z, H, W), 0 or the labels of `lung_regions.LOBES`.
        earlier: decision on the same study to carry over; if None, the verdict is `not_assessed`.
        source: origin of the outlines, for the provenance.

    Returns:
        A diagnosis like that of `Diagnoser.run`, with an activation map only if `earlier` holds one. Its verdict is
        `not_assessable` if the study must not be assessed, or shows no lungs and none were given.

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
    decision = Decision(Verdict.NOT_ASSESSED, (notice("measured-only"),), digest=study.digest)
    source = source or OutlineSource()
    if earlier is not None:
        _check_fits(earlier, study)
        decision = replace(earlier, reasons=tuple(dict.fromkeys((*earlier.reasons, notice("carried-over")))))
        source = replace(source, algorithm_type=SEMIAUTOMATIC)
    provenance = Provenance(__version__, {}, {**asdict(EVERY_VOXEL), "given_masks": given.names()}, source)
    try:
        with clock("lungs"):
            upright, given, found = _find_lungs(study, given)
        with clock("measure"):
            drawn = outlines if upright is study else np.rot90(outlines, 1, (1, 2))
            measured, noticed = _measure(upright, drawn, given, found)
    except NotAssessable as stop:
        return Diagnosis(study, stop.decision(study.digest), None, quality.warnings(study), provenance, clock.total())
    notices = (*quality.warnings(upright), *noticed, *doubts_about(decision))
    return Diagnosis(upright, decision, measured, notices, provenance, clock.total())


def _check_fits(earlier: Decision, study: Study) -> None:
    """Check that a decision is of this study.

    Raises:
        UsageError: it is of another study, or no decision was made.
    """
    if earlier.provenance is None or not earlier.provenance.weights:
        raise UsageError(
            "the earlier result holds no decision to carry over, as no network ran for it; give a result of jcs "
            "diagnose, or none"
        )
    if earlier.digest != study.digest or len(earlier.scores) not in (0, len(study)):
        raise UsageError(
            f"the earlier result is of another study: found the digest {earlier.digest[:16]}, expected "
            f"{study.digest[:16]}; give the result of this study and series, or none"
        )


def _find_lungs(study: Study, given: GivenMasks) -> tuple[Study, GivenMasks, FoundLungs | None]:
    """The study and the given masks, turned upright, and the lungs if they have to be found."""
    if refusals := quality.refusals(study):
        raise NotAssessable(refusals)
    known = given.whole_lungs()
    if known is not None:
        upright = turned_upright(study) if lies_on_its_side(study, known) else study
        return upright, given if upright is study else given.turned(), None
    found = find_lungs(study)
    if found is None:
        raise NotAssessable((notice("no-lungs-to-measure"),))
    return found.study, given, found


def _measure(
    study: Study, outlines: Mask, given: GivenMasks, found: FoundLungs | None
) -> tuple[Measured, tuple[Notice, ...]]:
    """Measures, and what to know about the lungs that they are made against."""
    labels = find_lesions(outlines, study, EVERY_VOXEL)
    if lost := int(marked_pixels(outlines).sum() - marked_pixels(labels).sum()):
        raise UsageError(
            f"the outlines fall into more pieces than can be numbered, {lost} voxels are left over; expected at most "
            f"{np.iinfo(labels.dtype).max} pieces: smooth or clean them first"
        )
    lungs = lungs_to_measure(given, found, labels)
    assert lungs is not None
    noticed = outside_given_lungs(outlines, given, measured=True)
    if found is not None:
        noticed = tuple(dict.fromkeys((*fitness.lung_refusals(found), *fitness.lung_warnings(found))))
    return measure_lesions(labels, None, lungs, study, given.lobes), noticed
