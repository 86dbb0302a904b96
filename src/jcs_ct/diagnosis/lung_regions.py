"""Where in the lungs something lies: left or right, upper, middle or lower zone, lobe.

Sides are told by the columns of the canonical array, in which the patient's right comes first. Zones are thirds of each
lung's own extent along the patient: the two lungs differ in height, and a scan may cut them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume, Volume, crop_of, shown_slices
from jcs_ct.diagnosis.measured import Side
from jcs_ct.morphology import Mask
from jcs_ct.study.volume import Geometry, Study

SIDES = ("right", "left")
"""In the order of columns; label k of `lung_sides` is SIDES[k - 1]."""
SIDE_LABELS = {Side.RIGHT: 1, Side.LEFT: 2}
"""The labels of `lung_sides`."""
PICTURE_SIDES = ("picture left", "picture right")
"""The same where the input does not tell left from right."""
THIRDS = ("lower", "middle", "upper")
"""In the order of slices."""
PICTURE_THIRDS = ("first third", "middle third", "last third")
"""The same where the input does not tell feet from head."""
HALVES = ("lower half", "upper half")
PICTURE_HALVES = ("first half", "last half")
LOBES = ("left upper lobe", "left lower lobe", "right upper lobe", "right middle lobe", "right lower lobe")
"""Label k of a lobe mask is LOBES[k - 1], as most public lobe segmenters number them."""

_LEFT_LOBES = (1, 2)
_MIDDLE_SEARCH = 0.4
"""The mediastinum lies within this central share of the lungs' width."""
_SLICE_SEARCH = 0.12
"""On one slice the lungs meet no further from the middle than this share of their width."""
_VALLEY = 0.5
"""The gap between two lungs holds less lung than this share of the smaller one's fullest column."""
_SPANS = 0.2
"""A piece of lung with at least this share of itself on each side is both lungs, touching."""
_STRAY = 0.01
"""A slice with less than this share of a lung's largest area does not count for its extent."""

Labels = NDArray[np.uint8]


def split_sides(lungs: Volume[np.bool_]) -> CroppedVolume[np.uint8]:
    """(Z, H, W): 0, 1 for the lung at low columns (right), 2 for the one at high columns (left).

    A piece of a slice belongs to the side that most of it lies on, so that a lung which crosses the middle in front of
    the heart stays whole; one that spans both is cut where it is narrowest.
    """
    sides, profile = CroppedVolume(lungs.shape, np.uint8), _column_profile(lungs)
    columns = np.flatnonzero(profile)
    if not len(columns):
        return sides
    middle, width = _middle_of(profile), int(columns[-1] - columns[0]) + 1
    reach = max(1, round(_SLICE_SEARCH * width))

    def split_slice(z: int) -> None:
        crop = crop_of(lungs, z)
        if crop is None:
            return
        (rows, columns), lung = crop
        across = np.zeros(lungs.shape[2], np.int64)
        across[columns] = lung.sum(0)
        cut = int(np.clip(_narrowest(across, middle, reach) - columns.start, 0, lung.shape[1]))
        labels, count = ndimage.label(lung)
        low = np.bincount(labels[:, :cut].ravel(), minlength=count + 1)
        high = np.bincount(labels[:, cut:].ravel(), minlength=count + 1)
        side = np.where(low >= high, 1, 2).astype(np.uint8)
        side[0] = 0
        split = side[labels]
        spans = np.minimum(low, high) >= _SPANS * (low + high)
        spans[0] = False
        if spans.any():
            both = spans[labels]
            split[:, :cut][both[:, :cut]] = 1
            split[:, cut:][both[:, cut:]] = 2
        sides.put(z, split, (rows.start, columns.start))

    parallel_map(split_slice, range(len(lungs)))
    return sides


def lung_sides(lungs: Volume[np.bool_], lobes: Labels | None = None) -> CroppedVolume[np.uint8]:
    """Which lung each voxel lies in: by `split_sides`, but where lobes are known they decide.

    Args:
        lungs: (Z, H, W).
        lobes: (Z, H, W) with values 0..5, or None.

    Returns:
        (Z, H, W): 0 outside, 1 at low columns (right), 2 at high columns (left).
    """
    sides = split_sides(lungs)
    if lobes is None:
        return sides
    side_of_lobe = np.array([0, *(2 if k in _LEFT_LOBES else 1 for k in range(1, len(LOBES) + 1))], np.uint8)
    known = lobes
    return CroppedVolume.made(
        sides.shape, np.uint8, lambda z: np.where(lungs[z] & (known[z] > 0), side_of_lobe[known[z]], sides[z])
    )


def sides_are_known(study: Study) -> bool:
    """Whether the input states which side is which, and columns run from side to side."""
    return study.plane == "axial" and study.geometry is not None


def middle_column(lungs: Volume[np.bool_]) -> int:
    """First column of the patient's left half: the valley between the lungs; with one lung the picture's middle."""
    return _middle_of(_column_profile(lungs))


def _column_profile(lungs: Volume[np.bool_]) -> NDArray[np.int64]:
    """(W,): pixels of lungs (Z, H, W) in each column."""
    profile = np.zeros(lungs.shape[2], np.int64)
    for z in range(len(lungs)):
        crop = crop_of(lungs, z)
        if crop is not None:
            profile[crop.place[1]] += crop.values.sum(0)
    return profile


def _middle_of(profile: NDArray[np.int64]) -> int:
    """`middle_column`, told by how much lung each column holds."""
    columns = np.flatnonzero(profile)
    first, width = int(columns[0]), int(columns[-1] - columns[0]) + 1
    margin = round((1 - _MIDDLE_SEARCH) / 2 * width)
    cut = _narrowest(profile, first + width // 2, max(1, width // 2 - margin))
    valley = profile[min(cut, len(profile) - 1)]
    if valley < _VALLEY * min(profile[:cut].max(initial=0), profile[cut:].max(initial=0)):
        return cut
    return len(profile) // 2


def _narrowest(profile: NDArray[np.int64], middle: int, reach: int) -> int:
    """Middle of the columns with the least lung within `reach` of the middle."""
    start = max(middle - reach, 0)
    window = profile[start : middle + reach + 1]
    least = np.flatnonzero(window == window.min()) + start
    # Equal columns need not lie together; the run nearest to the middle is the gap.
    runs = np.split(least, np.flatnonzero(np.diff(least) > 1) + 1)
    gap = min(runs, key=lambda run: abs(float(run.mean()) - middle))
    return round(float(gap.mean()) + 0.5)


def mirrored(lungs: Mask, both_ends: int) -> Mask:
    """(..., W) with columns c and `both_ends` - c exchanged."""
    source = both_ends - np.arange(lungs.shape[-1])
    seen = (source >= 0) & (source < lungs.shape[-1])
    out = np.zeros_like(lungs)
    out[..., seen] = lungs[..., source[seen]]
    return out


def parts_of_slices(areas: NDArray[np.int64], geometry: Geometry | None, parts: int) -> NDArray[np.int64]:
    """(Z,): which of so many equal parts of a lung's extent each slice's centre lies in, 0 at the feet.

    Args:
        areas: (Z,) pixels of this lung on each slice.
        geometry: extents are in mm where positions are known, so that gaps and uneven distances count for what they
            are; else in slices.
        parts: 3 for zones.
    """
    seen = np.flatnonzero(areas > _STRAY * areas.max(initial=0))
    if not len(seen):
        return np.zeros(len(areas), np.int64)
    centres = np.arange(len(areas), dtype=np.float64)
    extents = np.ones(len(areas))
    if geometry is not None and np.isfinite(geometry.slice_extents).all():
        centres, extents = geometry.slice_positions, geometry.slice_extents
    low = centres[seen[0]] - extents[seen[0]] / 2
    high = centres[seen[-1]] + extents[seen[-1]] / 2
    # A hair added: a centre that lies on a boundary must not fall to either side by rounding.
    place = np.floor((centres - low) / (high - low) * parts + 1e-6)
    return np.asarray(np.clip(place, 0, parts - 1).astype(np.int64))


@dataclass(frozen=True)
class LungRegions:
    """Pixels per slice by region. Regions are (side, part) pairs, told apart by slices, or lobes."""

    lung: NDArray[np.int64]
    """(Z, 2): lung pixels of each side."""
    lesion: NDArray[np.int64]
    """(Z, 2)."""
    thirds: NDArray[np.int64]
    """(Z, 2): third of each side's extent that a slice lies in."""
    halves: NDArray[np.int64]
    """(Z, 2)."""
    lobe_lung: NDArray[np.int64] | None
    """(Z, 5)."""
    lobe_lesion: NDArray[np.int64] | None
    """(Z, 5)."""
    dense: NDArray[np.int64] | None = None
    """(Z, 2): consolidated pixels of opacities, where these are told apart."""
    lobe_dense: NDArray[np.int64] | None = None
    """(Z, 5)."""


def find_regions(
    sides: Volume[np.uint8],
    labels: Volume[np.uint16],
    geometry: Geometry | None,
    lobes: Labels | None,
    consolidation: Volume[np.bool_] | None = None,
) -> LungRegions:
    """Count lungs and opacities by region.

    Args:
        sides: (Z, H, W) as `lung_sides` gives them, all opacities inside.
        labels: (Z, H, W), ids of opacities.
        geometry: of the study.
        lobes: (Z, H, W) with values 0..5, or None.
        consolidation: (Z, H, W), counted within opacities; None where it is not told from ground glass.
    """
    lung, lesion, dense = _tally(sides, labels, len(SIDES), consolidation)
    lobe_lung, lobe_lesion, lobe_dense = None, None, None
    if lobes is not None:
        known = lobes
        lobar = CroppedVolume.made(lobes.shape, np.uint8, lambda z: known[z] * (sides[z] > 0))
        lobe_lung, lobe_lesion, lobe_dense = _tally(lobar, labels, len(LOBES), consolidation)
    cut = [[parts_of_slices(lung[:, k], geometry, parts) for k in range(2)] for parts in (3, 2)]
    thirds, halves = (np.stack(columns, axis=1) for columns in cut)
    return LungRegions(lung, lesion, thirds, halves, lobe_lung, lobe_lesion, dense, lobe_dense)


def _tally(
    regions: Volume[np.uint8], labels: Volume[np.uint16], count: int, consolidation: Volume[np.bool_] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]:
    """(Z, count) pixels of regions 1..count on each slice: all, those with an opacity, and with a consolidated one."""
    every, lesion, dense = (np.zeros((len(regions), count), np.int64) for _ in range(3))

    def tally(z: int) -> None:
        crop, opacity = crop_of(regions, z), crop_of(labels, z)
        if crop is None:
            return
        every[z] = [np.count_nonzero(crop.values == k) for k in range(1, count + 1)]  # sooner than by counting all
        if opacity is None:
            return
        region, opaque = regions[z][opacity.place], opacity.values > 0
        lesion[z] = np.bincount(region[opaque], minlength=count + 1)[1:]
        if consolidation is not None and lesion[z].any():
            dense[z] = np.bincount(region[opaque & consolidation[z][opacity.place]], minlength=count + 1)[1:]

    parallel_map(tally, range(len(regions)))
    return every, lesion, None if consolidation is None else dense


def zone_names(sides_known: bool) -> list[str]:
    """Names of the six zones, at side * 3 + third."""
    if sides_known:
        return [f"{side} {third}" for side in SIDES for third in THIRDS]
    return [f"{side}, {third}" for side in PICTURE_SIDES for third in PICTURE_THIRDS]


def sizes_by_region(
    labels: Volume[np.uint16],
    count: int,
    regions: Volume[np.uint8],
    lookup: NDArray[np.int64],
    kinds: int,
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(count + 1, K): size of each opacity in each of K regions.

    Args:
        labels: (Z, H, W), ids up to `count`.
        count: number of opacities.
        regions: (Z, H, W) with values 0..R.
        lookup: (Z, R + 1): region (0..K-1) that a value stands for on a slice, or -1.
        kinds: K.
        weights: (Z,) extent of each slice, or ones.
    """
    out = np.zeros((count + 1, kinds))
    for z in shown_slices(labels):
        plane = labels[z]
        here = plane > 0
        ids, places = plane[here].astype(np.int64), lookup[z][regions[z][here]]
        inside = places >= 0
        flat = np.bincount(ids[inside] * kinds + places[inside], minlength=out.size)
        out += flat.reshape(out.shape) * weights[z]
    return out
