"""The whole lungs, with what is dense in them: what shares of the lung are measured against.

`lungs.find_lungs` finds what holds air, which is what the networks' box is put around. Consolidation at the pleura has
the density of the chest wall and is not in it, so that in severe disease a share of it would be far too large. Three
things tell where the lung goes on, and none is enough alone:

- the outlined opacities: they are lung;
- closing: a gap in the costal surface with lung on both sides of it is lung, if it is narrow;
- symmetry: where opacities are outlined, the rest of the same dense region is lung as far as the other lung, mirrored,
  reaches. Far from outlined opacities symmetry adds nothing: one half of the diaphragm lies higher in most people.
  Where the other lung is dense as well it cannot tell; there a thin rim is added that looks like what was outlined.

A lobe that is dense down to its base goes on over the slices that show too little air to be assessed, and on which
nothing was outlined for that reason.

An effusion has the density of consolidation. It is taken for lung only as far as it is the smaller part of a region
that is otherwise outlined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume, Volume, shown_slices
from jcs_ct.diagnosis.lung_regions import middle_column, mirrored, split_sides
from jcs_ct.morphology import Mask, dilated, eroded, filled
from jcs_ct.preprocessing import AIR_THRESHOLD, Bytes

GAP = 0.12
"""Gaps of the costal surface up to this share of the width of both lungs (about 35 mm) are closed."""
MOSTLY_OUTLINED = 0.6
"""Symmetry completes a dense region of which at least this share was outlined as opacity."""
RIM = 0.015
"""Outlines may fall short by this share of the lungs' width (about 4 mm) on any side, within the mirrored lung."""
ALIKE = 2.0
"""Standard deviations around the mean of what was outlined on a slice: what is as dense as that..."""
ALIKE_AT_LEAST = 2.0
"""...but never less than so many grey levels of the one form (9 HU), which is what is lost by storing them as bytes."""
DENSE_THROUGHOUT = 0.9
"""A lung goes on over slices that were not assessed if on the last one at least this share of it was seen, as far as
the other lung tells, and `MOSTLY_OUTLINED` of it was dense."""
BONE = 255
"""Of the one form: 200 HU and above."""
_AT_ONCE = 32
"""Slices whose surfaces are looked at together: enough for NumPy, few for the memory."""
AXIS_SEARCH = 0.1
"""The heart moves the gap between the lungs off the axis of symmetry by no more than this share of their width."""


def whole_lungs(
    lungs: Volume[np.bool_],
    lesions: Volume[Any],
    overview: Bytes,
    inside: Mask | None = None,
    assessed: Mask | None = None,
) -> CroppedVolume[np.bool_]:
    """Complete the lungs by what is dense in them.

    Args:
        lungs: (Z, H, W) as `lungs.find_lungs` gives them.
        lesions: (Z, H, W), not 0 in outlined opacities: a mask, or their labels.
        overview: (Z, h, w), the slices in the one form, on a coarser grid.
        inside: (Z, H, W), False where a pixel is padding; all True if None.
        assessed: (Z,), False where a slice was not assessed, so that it may hold opacities that nobody outlined; all
            True if None.

    Returns:
        (Z, H, W): holds `lungs` and `lesions`, as far as they are inside.
    """
    shape = (overview.shape[1], overview.shape[2])
    known = CroppedVolume.made(overview.shape, np.bool_, lambda z: _resized(lungs[z] | (lesions[z] > 0), shape))
    outlined = CroppedVolume.made(
        overview.shape, np.bool_, lambda z: _resized(lesions[z] > 0, shape), shown_slices(lesions)
    )
    added = _missing(known, outlined, overview, np.ones(len(lungs), bool) if assessed is None else assessed)

    def completed(z: int) -> Mask:
        whole = lungs[z] | (lesions[z] > 0)
        if added.crop(z) is not None:
            whole |= _resized(added[z], (lungs.shape[1], lungs.shape[2]))
        return whole if inside is None else whole & inside[z]

    return CroppedVolume.made(lungs.shape, np.bool_, completed)


def _missing(
    known: CroppedVolume[np.bool_], outlined: CroppedVolume[np.bool_], overview: Bytes, assessed: Mask
) -> CroppedVolume[np.bool_]:
    """(Z, h, w): lung that is not in `known`."""
    shown = known.shadow()
    columns = np.flatnonzero(shown.any(0))
    if not len(columns):
        return CroppedVolume(known.shape, np.bool_)
    width = int(columns[-1] - columns[0]) + 1
    rim = max(1, round(RIM * width))
    both_ends = _symmetry(known, width)
    place = _reach_of_lungs(shown, both_ends, rim + 1)
    part = overview[:, place[0], place[1]]
    seen = CroppedVolume.made(part.shape, np.bool_, lambda z: known[z][place], known.shown())
    opaque = CroppedVolume.made(part.shape, np.bool_, lambda z: outlined[z][place], outlined.shown())
    search = _Search(seen, opaque, part, both_ends - 2 * place[1].start, width)
    lungs = [lung for side in (1, 2) if (lung := search.completed(side, assessed)) is not None]

    def added(z: int) -> Mask:
        plane = np.zeros(known.shape[1:], bool)
        for lung in lungs:
            plane[place] |= lung[z]
        return plane & ~known[z]

    return CroppedVolume.made(known.shape, np.bool_, added)


def _reach_of_lungs(shown: Mask, both_ends: int, margin: int) -> tuple[slice, slice]:
    """The rows of the lungs, (h, w), and the columns of lungs and mirrored lungs, about the picture's middle."""
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    first, last, width = int(columns[0]), int(columns[-1]), shown.shape[1]
    ends = (first, width - 1 - last, both_ends - last, width - 1 - (both_ends - first))
    beside = max(min(ends) - margin, 0)
    top, bottom = max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin
    return slice(top, bottom), slice(beside, width - beside)


class _Search:
    """Both lungs of a study, (Z, h, w), on the part of the overview that they reach over.

    Args:
        known: lung as far as it is known.
        outlined: opacities.
        overview: the slices in the one form.
        both_ends: sum of two columns that lie opposite to each other.
        width: of both lungs, pixels.
    """

    def __init__(
        self,
        known: CroppedVolume[np.bool_],
        outlined: CroppedVolume[np.bool_],
        overview: Bytes,
        both_ends: int,
        width: int,
    ) -> None:
        self._both_ends, self._gap, self._rim = both_ends, round(GAP * width), max(1, round(RIM * width))
        self._known, self._outlined, self._overview = known, outlined, overview
        self._sides = split_sides(known)

        def alike(z: int) -> Mask:
            dense = outlined[z] & self._tissue(z)
            return _alike_rim(dense, both_ends, overview[z], self._rim) & self._free(z)

        self._alike = CroppedVolume.made(known.shape, np.bool_, alike, outlined.shown())

    def completed(self, side: int, assessed: Mask) -> CroppedVolume[np.bool_] | None:
        """(Z, h, w): the lung of one side with what is dense in it; None where there is none."""
        if not any((self._sides[z] == side).any() for z in self._sides.shown()):
            return None
        count = len(self._known)
        lung = CroppedVolume(self._known.shape, np.bool_)

        def complete(few: range) -> None:
            own = np.stack([self._sides[z] == side for z in few])
            costal = _Surface.of(own) if side == 1 else _Surface.of(own[..., ::-1]).flipped()
            closed = _closing(own, self._gap) & costal.gap
            for z, held, gap, is_open in zip(few, own, closed, costal.open, strict=True):
                lung[z] = held | (gap & self._free(z)) | self._beside_outlines(z, side, is_open)

        def fill(z: int) -> None:
            lung[z] = filled(lung[z])

        parallel_map(complete, [range(z, min(z + _AT_ONCE, count)) for z in range(0, count, _AT_ONCE)])
        _go_on(lung, lambda z: self._other(z, side), self._tissue, assessed, self._rim)
        parallel_map(fill, lung.shown())
        return lung

    def _beside_outlines(self, z: int, side: int, is_open: Mask) -> Mask:
        """(h, w): what completes a lung where opacities are outlined on its slice, or right above or below."""
        dense = self._dense(z, side)
        near = dense.copy()
        for beside in (z - 1, z + 1):
            if 0 <= beside < len(self._known):
                near |= self._dense(beside, side)
        if not near.any():
            return near
        added = _completed(self._other(z, side) & self._free(z), dense, near, is_open, self._rim)
        return added | (self._alike[z] & _grown(dense, self._rim))

    def _tissue(self, z: int) -> Mask:
        """(h, w): what is as dense as consolidation."""
        return np.asarray((self._overview[z] > AIR_THRESHOLD * 255) & (self._overview[z] < BONE))

    def _free(self, z: int) -> Mask:
        """(h, w): tissue that is not known to be lung."""
        return self._tissue(z) & ~self._known[z]

    def _dense(self, z: int, side: int) -> Mask:
        """(h, w): opacities of one side that are dense."""
        if self._outlined.crop(z) is None:
            return np.zeros(self._known.shape[1:], bool)
        return np.asarray(self._outlined[z] & self._tissue(z) & (self._sides[z] == side))

    def _other(self, z: int, side: int) -> Mask:
        """(h, w): the lung of the other side, mirrored."""
        return mirrored(self._sides[z] == 3 - side, self._both_ends)


@dataclass(frozen=True)
class _Surface:
    """Where pixels lie on their slices to the lung of one side, in the canonical array."""

    gap: Mask
    """(Z, h, w): between lung on both sides along the costal surface, and no lung further out."""
    open: Mask
    """(Z, h, w): no lung further out or further back. Heart, hilum and diaphragm have lung around them."""

    @classmethod
    def of(cls, lung: Mask) -> _Surface:
        """For a lung whose lateral side is at low columns."""
        lateral, front = _from_first_on(lung, 2), _from_first_on(lung, 1)
        medial = _from_first_on(lung[..., ::-1], 2)[..., ::-1]
        back = _from_first_on(lung[:, ::-1], 1)[:, ::-1]
        beside, along = lateral & medial, front & back
        return cls((~lateral & along) | (beside & (~front | ~back)), ~lateral | ~back)

    def flipped(self) -> _Surface:
        """Of a lung whose columns were reversed."""
        return _Surface(self.gap[..., ::-1], self.open[..., ::-1])


def _from_first_on(mask: Mask, axis: int) -> Mask:
    """True from the first True on, along an axis of (Z, h, w)."""
    length = mask.shape[axis]
    first = np.where(mask.any(axis), mask.argmax(axis), length).astype(np.int16)
    steps = np.arange(length, dtype=np.int16).reshape((-1, 1) if axis == 1 else (1, -1))
    return np.asarray(steps >= np.expand_dims(first, axis))


def _closing(lung: Mask, size: int) -> Mask:
    """Close gaps up to `size` pixels, slice by slice."""
    reach = (size | 1) // 2
    padded = np.pad(lung, ((0, 0), (reach, reach), (reach, reach)))
    closed = eroded(dilated(padded, reach), reach)
    return closed[:, reach : closed.shape[1] - reach, reach : closed.shape[2] - reach]


def _symmetry(lungs: CroppedVolume[np.bool_], width: int) -> int:
    """Sum of two columns that lie opposite to each other: where lungs (Z, h, w) and their mirror image agree best.

    Not the middle between their outer ends: a dense lung has lost its outer end.
    """
    middle, reach = 2 * middle_column(lungs) - 1, max(1, round(2 * AXIS_SEARCH * width))
    thickness = [lungs[z].sum(0, dtype=np.int64) for z in lungs.shown()]
    agreement = np.sum([np.convolve(row, row) for row in thickness], axis=0)  # index: sum of two columns
    start = max(middle - reach, 0)
    return start + int(agreement[start : middle + reach + 1].argmax())


def _completed(candidates: Mask, outlined: Mask, near: Mask, surface: Mask, rim: int) -> Mask:
    """(h, w): candidates at the surface in dense regions that are mostly outlined, and those beside outlines.

    Beside is within `rim` pixels on the slice, and right above or below on the next one (`near`).
    """
    labels, count = ndimage.label(candidates | outlined, np.ones((3, 3), bool))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    known = np.bincount(labels[outlined], minlength=count + 1)
    mostly = known >= MOSTLY_OUTLINED * np.maximum(area, 1)
    mostly[0] = False
    return candidates & ((mostly[labels] & surface) | near | _grown(outlined, rim))


def _alike_rim(outlined: Mask, both_ends: int, overview: Bytes, rim: int) -> Mask:
    """(h, w): half a rim around outlines that lie opposite to outlines, of what is as dense as these."""
    opposite = outlined & _grown(mirrored(outlined, both_ends), rim)
    if not opposite.any():
        return opposite
    levels = overview[outlined]
    reach = max(ALIKE * float(levels.std()), ALIKE_AT_LEAST)
    near = np.abs(overview - float(levels.mean())) <= reach
    return np.asarray(near & _grown(opposite, max(1, rim // 2)))


def _go_on(
    lung: CroppedVolume[np.bool_],
    other: Callable[[int], Mask],
    tissue: Callable[[int], Mask],
    assessed: Mask,
    rim: int,
) -> None:
    """Complete, in place, a lung that is dense to its end over the slices beyond the assessed ones.

    Args:
        lung: (Z, h, w), one lung as far as it is known.
        other: gives a slice (h, w) of the other one, mirrored.
        tissue: gives what of a slice (h, w) is as dense as consolidation.
        assessed: (Z,).
        rim: pixels by which a lung may be wider than on the slice before.
    """
    seen = np.flatnonzero(assessed)
    if not len(seen):
        return
    for slices in (range(int(seen[0]) - 1, -1, -1), range(int(seen[-1]) + 1, len(lung))):
        for z in slices:
            before = z + 1 if z < seen[0] else z - 1
            last, expected = lung[before], other(before)
            held, dense = last & expected, last & tissue(before)
            if held.sum() < DENSE_THROUGHOUT * expected.sum() or dense.sum() < MOSTLY_OUTLINED * last.sum():
                break
            lung[z] = lung[z] | (other(z) & tissue(z) & _grown(dense, rim))


def _grown(mask: Mask, pixels: int) -> Mask:
    """(h, w) dilated by a diamond."""
    return np.asarray(ndimage.binary_dilation(mask, iterations=pixels)) if mask.any() else mask


def _resized(mask: Mask, shape: tuple[int, int]) -> Mask:
    if mask.shape == shape:
        return mask
    image = Image.fromarray(mask.view(np.uint8)).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    return np.asarray(image).astype(bool)
