"""Whether the lungs that were found are such that a verdict can rest on them.

What a header says of the body part is not trusted: a chest is what shows lungs. `study.quality` judges what can be told
without looking for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jcs_ct.cropped_volume import marked_pixels
from jcs_ct.diagnosis.decide import Decision
from jcs_ct.diagnosis.result import Verdict
from jcs_ct.diagnosis.slices import FoundLungs
from jcs_ct.study.volume import IntensityKind, Study

LUNG_ML = (200.0, 15_000.0)
"""Aerated lung of a patient. Sinuses of the nose hold under 100 mL, the largest lungs 10 L."""
GAS_HU = -960.0
"""Median of what is gas throughout: bowel, stomach, or air beside the body. Emphysema stays above."""
CUT_SHARE = 0.3
"""Of the fullest slice's lung area: apices and bases taper off, so more than this on an outermost slice is cut off."""
HALF_A_LUNG_MM = 120.0
"""Lungs of adults are 200 to 300 mm high. Where less than this is seen of lungs that are cut off, nothing found in it
says nothing about the rest."""

_CHEST_WORDS = ("CHEST", "THOR", "LUNG", "BODY", "TRUNK", "TORSO")


@dataclass(frozen=True)
class Coverage:
    """How much of the lungs the scan shows."""

    extent_mm: float
    """From the lowest to the highest slice with lung."""
    missing: tuple[str, ...]
    """Where they are cut off: "bottom", "top", both or none."""


def lung_objections(slices: FoundLungs) -> tuple[str, ...]:
    """Reasons why what was found cannot be the lungs of a chest."""
    study = slices.study
    reasons = []
    if study.intensity is IntensityKind.HU:
        lungs = slices.lung_mask
        median = float(np.median(np.concatenate([study.voxels[z][lungs[z]] for z in lungs.shown()])))
        if median < GAS_HU:
            reasons.append(f"what looks like lungs has a median of {median:.0f} HU, which is gas; lungs are needed")
    volume = _lung_ml(slices)
    if volume is not None and not LUNG_ML[0] <= volume <= LUNG_ML[1]:
        reasons.append(
            f"what looks like lungs has {volume:.0f} mL, {LUNG_ML[0]:.0f} to {LUNG_ML[1]:.0f} mL are plausible; "
            "expected axial slices of a chest CT"
        )
    return tuple(reasons) + (body_part_cautions(study) if reasons else ())


def lung_cautions(slices: FoundLungs) -> tuple[str, ...]:
    """What is worth knowing about the lungs found, but does not forbid a verdict."""
    found = list(body_part_cautions(slices.study))
    coverage = lung_coverage(slices)
    if coverage is not None and coverage.missing:
        found.append(
            f"the lungs are cut off at the {' and the '.join(coverage.missing)}: {coverage.extent_mm:.0f} mm of them "
            "are seen, and nothing is said about the rest"
        )
    return tuple(found)


def body_part_cautions(study: Study) -> tuple[str, ...]:
    """A header that says that something else than the chest was scanned."""
    stated = study.attributes.get("BodyPartExamined", "")
    if not stated or any(word in stated.upper() for word in _CHEST_WORDS):
        return ()
    return (f"the header says that the body part is {stated[:40]}; what the images show counts",)


def without_empty_negative(decision: Decision, slices: FoundLungs) -> Decision:
    """A negative decision on half a lung or less is none: what was not seen may be infected."""
    coverage = lung_coverage(slices)
    if decision.verdict is not Verdict.NEGATIVE or coverage is None:
        return decision
    if not coverage.missing or coverage.extent_mm >= HALF_A_LUNG_MM:
        return decision
    reason = (
        f"no signs of disease in {coverage.extent_mm:.0f} mm of lungs that are cut off at the "
        f"{' and the '.join(coverage.missing)}; for a negative verdict at least "
        f"{HALF_A_LUNG_MM:.0f} mm or whole lungs are needed"
    )
    return replace(decision, verdict=Verdict.NOT_ASSESSABLE, reasons=(reason,), probability=None)


def lung_coverage(slices: FoundLungs) -> Coverage | None:
    """How much of the lungs is seen; None where the input does not say where its slices lie."""
    geometry = slices.study.geometry
    if geometry is None or len(geometry.positions) < 2:
        return None
    areas = marked_pixels(slices.lung_mask)
    limit = CUT_SHARE * float(areas.max())
    missing = tuple(name for name, area in (("bottom", areas[0]), ("top", areas[-1])) if area > limit)
    extents = geometry.slice_extents[np.flatnonzero(areas)[[0, -1]]]
    places = geometry.slice_positions[np.flatnonzero(areas)[[0, -1]]]
    return Coverage(float(places[1] - places[0] + extents.mean()), missing)


def _lung_ml(slices: FoundLungs) -> float | None:
    geometry = slices.study.geometry
    if geometry is None or np.isnan(geometry.slice_extents).any() or len(slices.study) < 2:
        return None
    areas = marked_pixels(slices.lung_mask)
    return float(areas @ geometry.slice_extents * geometry.pixel_area / 1000)
