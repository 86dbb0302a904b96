"""Whether the lungs that were found are good enough for a verdict.

The header's body part is not trusted: a chest is what shows lungs. `study.quality` checks what needs no lungs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import marked_pixels
from jcs_ct.diagnosis.decision import Decision, Verdict
from jcs_ct.diagnosis.slices import FoundLungs
from jcs_ct.lungs import resized_mask
from jcs_ct.notices import Notice, Severity, notice
from jcs_ct.preprocessing import window_hu
from jcs_ct.study.volume import IntensityKind, Study

LUNG_ML = (200.0, 15_000.0)
"""Plausible volumes of lungs. Nasal sinuses hold under 100 mL, the largest lungs 10 L."""
GAS_HU = -960.0
"""A median below this means gas: bowel, stomach, or air beside the body. Emphysema stays above."""
_GAS_LEVEL = window_hu(np.array([GAS_HU]))[0]
"""The same in the one form."""
CUT_SHARE = 0.3
"""Lungs are cut off if an outermost slice shows more than this share of the fullest slice's lung area: apices and bases
taper off."""
HALF_A_LUNG_MM = 120.0
"""Adult lungs are 200 to 300 mm high. If less than this is visible, a normal part says nothing about the rest."""

_CHEST_WORDS = ("CHEST", "THOR", "LUNG", "BODY", "TRUNK", "TORSO")


@dataclass(frozen=True)
class Coverage:
    """How much of the lungs the scan shows."""

    extent_mm: float
    """From the lowest to the highest slice with lung; gas in bowel or stomach does not count."""
    missing: tuple[str, ...]
    """Where they are cut off: "bottom", "top", both or none."""

    @property
    def where(self) -> str:
        """The same in words."""
        return " and ".join(self.missing)


def lung_refusals(lungs: FoundLungs) -> tuple[Notice, ...]:
    """Why what was found cannot be the lungs of a chest."""
    study, found = lungs.study, []
    if study.intensity is IntensityKind.HU:
        mask = lungs.lung_mask
        median = float(np.median(np.concatenate([study.voxels[z][mask[z]] for z in mask.shown()])))
        if median < GAS_HU:
            found.append(notice("lungs-are-gas", median_hu=median))
    volume = lung_ml(lungs)
    if not found and volume is not None and not LUNG_ML[0] <= volume <= LUNG_ML[1]:
        found.append(notice("lung-volume-implausible", volume_ml=volume, least_ml=LUNG_ML[0], most_ml=LUNG_ML[1]))
    return (*found, *other_body_part(study, Severity.REFUSAL)) if found else ()


def no_lungs(study: Study) -> tuple[Notice, ...]:
    """Why a study without lungs is not assessed."""
    return (notice("no-lungs"), *other_body_part(study, Severity.REFUSAL))


def lung_warnings(lungs: FoundLungs) -> tuple[Notice, ...]:
    """What to know about the lungs that were found."""
    found = other_body_part(lungs.study)
    coverage = lung_coverage(lungs)
    if coverage is None or not coverage.missing:
        return found
    return (*found, notice("lungs-cut-off", where=coverage.where, extent_mm=coverage.extent_mm))


def other_body_part(study: Study, severity: Severity | None = None) -> tuple[Notice, ...]:
    """Whether the header names another body part than the chest."""
    stated = study.attributes.get("BodyPartExamined", "")
    if not stated or any(word in stated.upper() for word in _CHEST_WORDS):
        return ()
    return (notice("other-body-part", severity, stated=stated[:40]),)


def without_empty_negative(decision: Decision, lungs: FoundLungs) -> Decision:
    """Turn a negative decision on half a lung or less into "not assessable": the unseen part may be infected."""
    coverage = lung_coverage(lungs)
    if decision.verdict is not Verdict.NEGATIVE or coverage is None or not coverage.missing:
        return decision
    if coverage.extent_mm >= HALF_A_LUNG_MM:
        return decision
    reason = notice("half-a-lung", where=coverage.where, extent_mm=coverage.extent_mm, least_mm=HALF_A_LUNG_MM)
    return replace(decision, verdict=Verdict.NOT_ASSESSABLE, reasons=(reason,), probability=None, stability=None)


def part_of_lungs(decision: Decision, lungs: FoundLungs) -> tuple[Notice, ...]:
    """Whether a positive decision rests on so small a part of the lungs that their share and score say little."""
    coverage = lung_coverage(lungs)
    if decision.verdict is not Verdict.POSITIVE or coverage is None or not coverage.missing:
        return ()
    if coverage.extent_mm >= HALF_A_LUNG_MM:
        return ()
    return (notice("positive-on-part-of-lungs", where=coverage.where, extent_mm=coverage.extent_mm),)


def lung_coverage(lungs: FoundLungs) -> Coverage | None:
    """How much of the lungs is visible; None if the input does not state slice positions."""
    geometry = lungs.study.geometry
    if geometry is None or len(geometry.positions) < 2:
        return None
    areas = lung_areas(lungs)
    if not areas.any():
        return Coverage(0.0, ())
    limit = CUT_SHARE * float(areas.max())
    missing = tuple(name for name, area in (("bottom", areas[0]), ("top", areas[-1])) if area > limit)
    extents = geometry.slice_extents[np.flatnonzero(areas)[[0, -1]]]
    places = geometry.slice_positions[np.flatnonzero(areas)[[0, -1]]]
    return Coverage(float(places[1] - places[0] + extents.mean()), missing)


def lung_ml(lungs: FoundLungs) -> float | None:
    """Volume of the lungs that were found, in mL; None if the input does not state what that takes."""
    geometry = lungs.study.geometry
    if geometry is None or np.isnan(geometry.slice_extents).any() or len(lungs.study) < 2:
        return None
    return float(lung_areas(lungs) @ geometry.slice_extents * geometry.pixel_area / 1000)


def lung_areas(lungs: FoundLungs) -> NDArray[np.float64]:
    """(Z,): pixels of lung on each slice. Regions of gas, which the search can take for lung, do not count.

    The search drops a region only if nearly all of it is gas. A thin loop of colon has so much rim that it passes; its
    median still is gas.
    """
    shape = (lungs.overview.shape[1], lungs.overview.shape[2])

    def share_of_lung(z: int) -> float:
        labels, count = ndimage.label(resized_mask(lungs.lung_mask[z], shape))
        if not count:
            return 0.0
        numbers = np.arange(1, count + 1)
        gas = ndimage.median(lungs.overview[z], labels, numbers) < _GAS_LEVEL
        sizes = np.bincount(labels.ravel())[1:]
        return float(1 - sizes[gas].sum() / sizes.sum())

    shares = np.array(parallel_map(share_of_lung, range(len(lungs.study))), np.float64)
    return np.asarray(marked_pixels(lungs.lung_mask) * shares, np.float64)
