"""Connected components of a mask, slab by slab.

The numbers of all components at once would take four bytes a voxel. A slab of slices is numbered at a time, and kept
around what is marked in it, in as small a type as its numbers need; where two slabs meet, what touches is joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csgraph

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume, Volume, crop_of

_SLAB = 64
"""Slices that are numbered together: joining two slabs takes about as long as numbering ten slices."""


@dataclass(frozen=True)
class _Slab:
    """Components of some slices, none of which is empty at the rim of the slab's columns."""

    start: int
    first: tuple[int, int]
    """Row and column of the slices at which `numbers` begin."""
    numbers: NDArray[np.unsignedinteger]
    """(N, h, w): 0 or a number within the slab."""
    count: int


@dataclass(frozen=True)
class Components:
    """The components of a mask (Z, H, W), numbered from 1 in the order in which a scan over the voxels meets them."""

    shape: tuple[int, ...]
    slabs: tuple[_Slab, ...]
    numbers: tuple[NDArray[np.int64], ...]
    """For each slab (its count + 1,): the number in the study of each number in the slab; 0 for 0."""
    count: int

    def sizes(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(count + 1,): pixels of each component times the weights (Z,) of their slices, summed; 0 for 0."""
        found = parallel_map(self._pixels, range(len(self.slabs)))
        size = np.zeros(self.count + 1)
        for slab, planes in zip(self.slabs, found, strict=True):
            for weight, (ids, counts) in zip(weights[slab.start :], planes, strict=False):
                size[ids] += counts * weight
        return size

    def sizes_within(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(count + 1,): pixels of each component that lie in a mask (Z, H, W); 0 for 0."""

        def within(k: int) -> NDArray[np.int64]:
            slab, (top, left) = self.slabs[k], self.slabs[k].first
            depth, height, width = slab.numbers.shape
            marked = mask[slab.start : slab.start + depth, top : top + height, left : left + width]
            return np.bincount(slab.numbers[marked], minlength=slab.count + 1)

        size = np.zeros(self.count + 1, np.int64)
        for numbers, counts in zip(self.numbers, parallel_map(within, range(len(self.slabs))), strict=True):
            np.add.at(size, numbers, counts)
        size[0] = 0
        return size

    def _pixels(self, k: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each slice of a slab: components on it, and how many pixels each of them has there."""
        found = []
        for plane in self.slabs[k].numbers:
            counts = np.bincount(plane.ravel())[1:]
            numbers = np.flatnonzero(counts)
            ids, place = np.unique(self.numbers[k][numbers + 1], return_inverse=True)
            found.append((ids, np.bincount(place, counts[numbers], len(ids)).astype(np.int64)))
        return found

    def numbered(self, lookup: NDArray[np.uint16]) -> CroppedVolume[np.uint16]:
        """(Z, H, W): `lookup` (count + 1,) of each voxel's component; `lookup` of 0 has to be 0."""
        labels = CroppedVolume(self.shape, np.uint16)

        def number(k: int) -> None:
            slab, new = self.slabs[k], lookup[self.numbers[k]]
            for z, plane in enumerate(slab.numbers, start=slab.start):
                labels.put(z, new[plane], slab.first)

        parallel_map(number, range(len(self.slabs)))
        return labels


def connected_components(mask: Volume[np.bool_], blocks: list[tuple[int, int]]) -> Components:
    """The 26-connected components of a mask, none of which reaches from one block to another.

    Args:
        mask: (Z, H, W).
        blocks: ranges of slices (start, stop), ascending.
    """
    ranges = [
        (start, min(start + _SLAB, stop)) for low, stop in blocks for start in range(low, stop, _SLAB) if start < stop
    ]
    slabs = [slab for slab in parallel_map(lambda part: _slab(mask, *part), ranges) if slab is not None]
    before = np.cumsum([0, *(slab.count for slab in slabs)])  # numbers of each slab go on from here
    begins = {start for start, _ in blocks}
    pairs = [
        _touching(_plane(lower, -1, mask.shape), _plane(upper, 0, mask.shape)) + before[k : k + 2]
        for k, (lower, upper) in enumerate(pairwise(slabs))
        if upper.start == lower.start + len(lower.numbers) and upper.start not in begins
    ]
    total = int(before[-1]) + 1
    ends = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(total, total))
    # The background is a component of its own, the 0th, and what is met first has the lower number.
    count, joined = csgraph.connected_components(graph, directed=False)
    numbers = [
        np.concatenate([[0], joined[start + 1 : start + 1 + slab.count]]).astype(np.int64)
        for start, slab in zip(before.tolist(), slabs, strict=False)
    ]
    return Components(mask.shape, tuple(slabs), tuple(numbers), int(count) - 1)


def _slab(mask: Volume[np.bool_], start: int, stop: int) -> _Slab | None:
    """Number the components of some slices; None where nothing is marked on them."""
    crops = {z: crop for z in range(start, stop) if (crop := crop_of(mask, z)) is not None}
    if not crops:
        return None
    top, left = (min(crop.place[axis].start for crop in crops.values()) for axis in (0, 1))
    bottom, right = (max(crop.place[axis].stop for crop in crops.values()) for axis in (0, 1))
    marked = np.zeros((stop - start, bottom - top, right - left), bool)
    for z, (place, values) in crops.items():
        rows, columns = (slice(one.start - low, one.stop - low) for one, low in zip(place, (top, left), strict=True))
        marked[z - start, rows, columns] = values
    components = cc3d.connected_components(marked, connectivity=26, out_dtype=np.uint32)
    count = int(components.max())
    return _Slab(start, (top, left), components.astype(np.min_scalar_type(count), copy=False), count)


def _plane(slab: _Slab, index: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(H, W): numbers on a slice of a slab."""
    plane, (top, left) = slab.numbers[index], slab.first
    out = np.zeros(shape[1:], np.int64)
    out[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
    return out


def _touching(lower: NDArray[np.int64], upper: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 2): which numbers of one slice and of the next one touch, by a side, an edge or a corner."""
    rows, columns = np.nonzero(lower)
    own, around = lower[rows, columns], np.pad(upper, 1)
    beside = np.stack([around[rows + down, columns + across] for down in range(3) for across in range(3)])
    pairs = np.stack(np.broadcast_arrays(own, beside), axis=-1).reshape(-1, 2)
    return np.unique(pairs[pairs[:, 1] > 0], axis=0)
