"""How large opacities may be: the volume above two further thresholds of the segmenter's probability.

The network has run once; its probability holds more than the outline at 0.5. Above the upper threshold lies what is
opacity all the same if the network marks too much, above the lower one what may be if it marks too little
(`evaluation.conformal` says how the two are chosen, and for what share of slices they hold).

What lies above the lower threshold belongs to the opacity that it hangs together with. Where that is several, each
pixel goes to the nearest one in its plane; a region that holds no opacity on its own slice goes to those of the slices
below and above that it overlaps, slice by slice away from them. What hangs together with none belongs to none, but may
be opacity: it counts in the total, which therefore is no sum over opacities.

Everything runs over the slices and, on these, over the box that holds any probability above the lower threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import Volume, marked_pixels, shown_slices
from jcs_ct.diagnosis.measure import MeasureSettings, contiguous_blocks, known_extents, ml_per_mm
from jcs_ct.diagnosis.measured import Interval, Measured
from jcs_ct.evaluation.conformal import AreaThresholds
from jcs_ct.study.volume import Study

_TOUCHING = np.ones((3, 3), bool)
Labels = NDArray[np.uint16]


@dataclass
class _Plane:
    """What lies above the lower threshold on one slice: K pixels of its box, as most of a box is empty."""

    place: tuple[slice, slice]
    """Rows and columns of the box."""
    pixels: NDArray[np.int32]
    """(K,) places in the box, row by row."""
    regions: NDArray[np.int32]
    """(K,) number of the connected region, from 1."""
    owners: Labels
    """(K,) 0 or the opacity that a pixel belongs to."""

    def on_box(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (K,) as a picture (h, w), 0 elsewhere."""
        rows, columns = self.place
        out = np.zeros((rows.stop - rows.start, columns.stop - columns.start), values.dtype)
        out.reshape(-1)[self.pixels] = values
        return out

    def of_box(self, picture: NDArray[Any]) -> NDArray[Any]:
        """(K,) of a picture (h, w)."""
        return np.asarray(picture.ravel()[self.pixels])


def with_intervals(
    measured: Measured,
    probability: Volume[np.uint8],
    thresholds: AreaThresholds,
    study: Study,
    within: Volume[np.bool_] | None = None,
) -> Measured:
    """Measures with intervals of their volumes.

    Args:
        measured: of what is above 0.5.
        probability: (Z, H, W) of the segmenter, 0..1 stored as 0..255.
        thresholds: lower and upper one.
        study: the study that all this belongs to.
        within: (Z, H, W) lungs that the user gave: what lies outside of them is no opacity.
    """
    lower, upper = thresholds.levels
    extents = known_extents(study.geometry)
    weights = np.ones(len(study)) if extents is None else extents
    planes = _planes(measured.labels, probability, lower, within)
    _spread_over_slices(planes, contiguous_blocks(len(study), study.geometry, MeasureSettings().gap_factor))
    size = len(measured.lesions) + 1
    surely, maybe = np.zeros((2, size)), np.zeros((2, size))  # in voxels, and weighted with the extents of slices
    most = beyond = 0.0
    for z, plane in planes.items():
        labels, levels, lungs = (
            plane.of_box(picture[plane.place]) for picture in (measured.labels[z], probability[z], measured.lungs[z])
        )
        weight = np.array([[1.0], [weights[z]]])
        surely += np.bincount(labels[levels > upper], minlength=size) * weight
        maybe += np.bincount(plane.owners, minlength=size) * weight
        most += len(plane.pixels) * float(weights[z])
        beyond += np.count_nonzero(~lungs) * float(weights[z])
    lung = float(marked_pixels(measured.lungs) @ weights)
    ml = ml_per_mm(study.geometry, extents)
    return _filled_in(measured, surely, maybe, _Total(surely[1, 1:].sum(), most, lung, lung + beyond), ml)


@dataclass(frozen=True)
class _Total:
    """Over the study, weighted with the extents of slices."""

    least: float
    most: float
    lung: float
    lung_at_most: float
    """With what lies above the lower threshold outside of it."""


def _filled_in(
    measured: Measured, surely: NDArray[np.float64], maybe: NDArray[np.float64], total: _Total, ml: float | None
) -> Measured:
    lesions = tuple(
        replace(
            lesion,
            voxels_interval=Interval(int(surely[0, lesion.id]), int(maybe[0, lesion.id])),
            volume_interval_ml=(
                None if ml is None else Interval(float(surely[1, lesion.id]) * ml, float(maybe[1, lesion.id]) * ml)
            ),
        )
        for lesion in measured.lesions
    )
    measures = replace(
        measured.measures,
        lesion_volume_interval_ml=None if ml is None else Interval(float(total.least) * ml, total.most * ml),
        lesion_share_interval=(
            Interval(float(total.least) / total.lung, total.most / total.lung_at_most) if total.lung else None
        ),
    )
    return replace(measured, lesions=lesions, measures=measures)


def _planes(
    labels: Volume[np.uint16], probability: Volume[np.uint8], lower: int, within: Volume[np.bool_] | None
) -> dict[int, _Plane]:
    """By slice, where anything lies above the lower threshold; owners as far as each slice by itself tells them."""

    def plane(z: int) -> _Plane | None:
        shown = probability[z] > lower
        if within is not None:
            shown &= within[z]
        rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
        if not len(rows):
            return None
        place = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        regions = np.zeros(shown[place].shape, np.int32)
        ndimage.label(shown[place], _TOUCHING, output=regions)
        pixels = np.flatnonzero(regions).astype(np.int32)
        return _Plane(place, pixels, regions.ravel()[pixels], _spread(labels[z][place], regions).ravel()[pixels])

    indices = shown_slices(probability)
    found = parallel_map(plane, indices)
    return {z: one for z, one in zip(indices, found, strict=True) if one is not None}


def _spread(seeds: Labels, regions: NDArray[np.int32]) -> Labels:
    """Each pixel of a region to the nearest of the opacities in it.

    Args:
        seeds: (h, w): 0 or an opacity.
        regions: (h, w): 0 or the number of a region.

    Returns:
        (h, w): 0 outside of regions and in those without an opacity.
    """
    here = np.nonzero(seeds)
    pairs = np.unique(regions[here].astype(np.int64) << 16 | seeds[here])  # a region and an opacity in it
    numbers, first, counts = np.unique(pairs >> 16, return_index=True, return_counts=True)
    owner = np.zeros(int(regions.max(initial=0)) + 1, np.uint16)
    owner[numbers] = pairs[first] & 0xFFFF
    owners = owner[regions]
    shared = numbers[counts > 1].tolist()
    places = ndimage.find_objects(regions) if shared else []
    for number in shared:
        place = places[number - 1]
        own = regions[place] == number
        seeded = own & (seeds[place] > 0)
        nearest = ndimage.distance_transform_edt(~seeded, return_distances=False, return_indices=True)  # (2, h, w)
        owners[place][own] = seeds[place][nearest[0], nearest[1]][own]
    return owners


def _spread_over_slices(planes: dict[int, _Plane], blocks: list[tuple[int, int]]) -> None:
    """Give regions without an owner, in place, to those of the next slices; one slice further with each round."""
    block = {z: number for number, (start, stop) in enumerate(blocks) for z in range(start, stop)}
    waiting = {z for z, plane in planes.items() if not plane.owners.all()}
    looked_at = waiting
    while looked_at:
        found = {}
        for z in looked_at:
            plane, seeds = planes[z], np.zeros_like(planes[z].owners)
            for next_to in (z - 1, z + 1):
                if next_to in planes and block[next_to] == block[z]:
                    beside = _seen_from(planes[next_to], plane)
                    seeds = np.where((plane.owners == 0) & (seeds == 0), beside, seeds)
            if seeds.any():
                found[z] = plane.of_box(_spread(plane.on_box(seeds), plane.on_box(plane.regions)))
        for z, owners in found.items():
            planes[z].owners = np.where(planes[z].owners > 0, planes[z].owners, owners)
        # Elsewhere the slices below and above are as they were.
        looked_at = {z for z in waiting if z - 1 in found or z + 1 in found}


def _seen_from(other: _Plane, plane: _Plane) -> Labels:
    """(K,) owners of another slice where this one has pixels."""
    (rows, columns), (own_rows, own_columns) = other.place, plane.place
    row, column = np.divmod(plane.pixels, own_columns.stop - own_columns.start)
    row, column = row + (own_rows.start - rows.start), column + (own_columns.start - columns.start)
    inside = (row >= 0) & (row < rows.stop - rows.start) & (column >= 0) & (column < columns.stop - columns.start)
    seen = np.zeros(len(plane.pixels), np.uint16)
    seen[inside] = other.on_box(other.owners)[row[inside], column[inside]]
    return seen
