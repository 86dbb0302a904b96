"""Right and left lung, measured apart.

Canonical columns run from the patient's right to left, so a side is a matter of columns. The search for lungs does not
part them: where they touch in front of or behind the heart, one component of a slice holds both.
"""

from __future__ import annotations

from dataclasses import replace

import cc3d
import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.result import Lesion, LungMeasures, Measures, Side
from jcs_ct.study.volume import Study

CODES = {Side.RIGHT: 1, Side.LEFT: 2}
"""Values of the voxels of `Diagnosis.lung_sides`."""

_MM3_PER_ML = 1000.0
_WHOLE = 0.9
"""A component of a slice with this share of it on one side of the midline belongs to that side as a whole."""


def part_lungs(lungs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Tell right from left lung.

    Args:
        lungs: (Z, H, W) voxels of both lungs, canonical.

    Returns:
        (Z, H, W): 0 outside, 1 right, 2 left.
    """
    sides = np.zeros(lungs.shape, np.uint8)
    profile = np.asarray(lungs.sum(axis=(0, 1)))  # (W,): lung voxels by column
    seen = np.flatnonzero(profile)
    if not len(seen):
        return sides
    usual = _thinnest(profile, int(seen[0]), int(seen[-1]), 1 / 4)
    reach = max(1, (int(seen[-1]) - int(seen[0])) // 8)
    for z in np.flatnonzero(lungs.any(axis=(1, 2))):
        column = _thinnest(np.asarray(lungs[z].sum(axis=0)), usual - reach, usual + reach, 0)
        sides[z] = _part_slice(lungs[z], column)
    return sides


def _thinnest(profile: NDArray[np.int64], start: int, stop: int, margin: float) -> int:
    """Column between `start` and `stop`, less a margin at both, with the least lung; of several, the middle one."""
    trimmed = int(margin * (stop - start))
    low, high = max(0, start + trimmed), min(len(profile) - 1, stop - trimmed)
    within = profile[low : high + 1]
    least = np.flatnonzero(within == within.min())
    return low + int(least[len(least) // 2])


def _part_slice(lungs: NDArray[np.bool_], column: int) -> NDArray[np.uint8]:
    """(H, W): sides of one slice, whose components are cut at `column` only where they reach well across it."""
    parted = np.zeros(lungs.shape, np.uint8)
    parted[:, :column] = CODES[Side.RIGHT]
    parted[:, column:] = CODES[Side.LEFT]
    parted[~lungs] = 0
    labels = np.asarray(cc3d.connected_components(lungs, connectivity=4, out_dtype=np.uint32))
    size = np.bincount(labels.ravel())
    right = np.bincount(labels[parted == CODES[Side.RIGHT]].ravel(), minlength=len(size))
    share = right / np.maximum(size, 1)
    share[0] = 0.5  # the background has no side
    parted[(share >= _WHOLE)[labels]] = CODES[Side.RIGHT]
    parted[(share <= 1 - _WHOLE)[labels]] = CODES[Side.LEFT]
    return parted


def measure_sides(
    labels: NDArray[np.uint16],
    lung_mask: NDArray[np.bool_],
    lesions: tuple[Lesion, ...],
    measures: Measures,
    study: Study,
) -> tuple[NDArray[np.uint8] | None, tuple[Lesion, ...], Measures]:
    """Measure each lung and tell in which one a lesion lies, where the input states which side is which.

    A lesion is lung even where the lung search left it out, as in all measures: the two lungs add up to the totals.

    Args:
        labels: (Z, H, W), 0 or the id of a lesion, canonical.
        lung_mask: (Z, H, W).
        lesions: ids from 1 without a gap.
        measures: the totals.
        study: whose slices these are.

    Returns:
        Sides (Z, H, W), None where they are not known; the lesions and the totals, completed.
    """
    if study.plane != "axial" or study.geometry is None:
        return None, lesions, measures
    sides = part_lungs(lung_mask | (labels > 0))
    votes = np.stack([np.bincount(labels[sides == CODES[side]], minlength=len(lesions) + 1) for side in Side])
    placed = tuple(replace(one, side=list(Side)[int(votes[:, one.id].argmax())]) for one in lesions)
    return sides, placed, replace(measures, lungs=tuple(_measure(sides, labels, side, study) for side in Side))


def _measure(sides: NDArray[np.uint8], labels: NDArray[np.uint16], side: Side, study: Study) -> LungMeasures:
    lung = np.array([np.count_nonzero(plane == CODES[side]) for plane in sides])
    lesion = np.array([np.count_nonzero(ids[plane == CODES[side]]) for plane, ids in zip(sides, labels, strict=True)])
    geometry = study.geometry
    assert geometry is not None
    extents = geometry.slice_extents
    known = bool(np.isfinite(extents).all())
    weights = extents if known else np.ones(len(sides))
    lung_size, lesion_size = float(lung @ weights), float(lesion @ weights)
    ml = geometry.pixel_area / _MM3_PER_ML
    return LungMeasures(
        side=side,
        volume_ml=lung_size * ml if known else None,
        lesion_volume_ml=lesion_size * ml if known else None,
        lesion_share=lesion_size / lung_size if lung_size else None,
    )
