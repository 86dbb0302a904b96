"""Volumes that are 0 in most places, and take memory only where they are not.

Lungs are a fifth of a chest scan, opacities less. Labels, masks and maps of a whole study would together take three
times the memory of its voxels; of each slice only the box that holds anything is kept here. Who works slice by slice,
as nearly all that measures or writes does, need not tell a cropped volume from an array (`Volume`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map

S = TypeVar("S", bound=np.generic)


class Crop(NamedTuple, Generic[S]):
    """The part of a slice that holds anything."""

    place: tuple[slice, slice]
    """Rows and columns of the slice."""
    values: NDArray[S]
    """(h, w); not to be written to."""

    @classmethod
    def of(cls, values: NDArray[S], first: tuple[int, int] = (0, 0)) -> Crop[S] | None:
        """Of a picture whose first pixel lies at row and column `first` of its slice, a view; None if it is empty."""
        marked = values if values.dtype == bool else values != 0
        rows = np.flatnonzero(marked.any(1))
        if not len(rows):
            return None
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(marked[top:bottom].any(0))
        left, right = int(columns[0]), int(columns[-1]) + 1
        place = slice(first[0] + top, first[0] + bottom), slice(first[1] + left, first[1] + right)
        return cls(place, values[top:bottom, left:right])


class CroppedVolume(Generic[S]):
    """A volume (Z, H, W), 0 outside of the box that each slice has of its own.

    `volume[z]` gives a slice as a new (H, W) array, `volume[z] = plane` replaces it; several threads may do so at once,
    each for other slices. `np.asarray(volume)` gives the whole, at the memory that this class is there to save.

    Args:
        shape: (Z, H, W).
        dtype: of the values, all 0 at first.

    Example:
        >>> volume = CroppedVolume((300, 512, 512), np.uint8)
        >>> volume[7] = np.eye(512, dtype=np.uint8)
        >>> volume.shown(), volume.nbytes
        ([7], 262144)
    """

    def __init__(self, shape: tuple[int, ...], dtype: type[S] | np.dtype[S]) -> None:
        self.shape: tuple[int, int, int] = (shape[0], shape[1], shape[2])
        self.dtype: np.dtype[S] = np.dtype(dtype)
        self._crops: list[Crop[S] | None] = [None] * shape[0]

    @classmethod
    def made(
        cls,
        shape: tuple[int, ...],
        dtype: type[S] | np.dtype[S],
        plane: Callable[[int], NDArray[Any]],
        indices: Sequence[int] | None = None,
    ) -> CroppedVolume[S]:
        """A volume of what `plane` gives for slices, all of them or those of `indices`; several at once."""
        volume = cls(shape, dtype)

        def put(z: int) -> None:
            volume[z] = plane(z)

        parallel_map(put, range(len(volume)) if indices is None else indices)
        return volume

    @classmethod
    def of(cls, array: NDArray[S]) -> CroppedVolume[S]:
        """A copy of (Z, H, W)."""
        return cls.made(array.shape, array.dtype, lambda z: array[z])

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, z: int) -> NDArray[S]:
        out, crop = np.zeros(self.shape[1:], self.dtype), self._crops[z]
        if crop is not None:
            out[crop.place] = crop.values
        return out

    def __setitem__(self, z: int, plane: NDArray[Any]) -> None:
        self.put(z, plane, (0, 0))

    def put(self, z: int, values: NDArray[Any], first: tuple[int, int]) -> None:
        """Replace a slice by a picture on it whose first pixel lies at row and column `first`, 0 around it."""
        crop = Crop.of(values.astype(self.dtype, copy=False), first)
        # A copy, as a view would keep the whole picture.
        self._crops[z] = None if crop is None else Crop(crop.place, crop.values.copy())

    def crop(self, z: int) -> Crop[S] | None:
        """What is kept of a slice; None where it holds nothing."""
        return self._crops[z]

    def shown(self) -> list[int]:
        """Slices that hold anything, ascending."""
        return [z for z, crop in enumerate(self._crops) if crop is not None]

    def shadow(self) -> NDArray[np.bool_]:
        """(H, W): what any slice holds something at."""
        out = np.zeros(self.shape[1:], bool)
        for crop in self._crops:
            if crop is not None:
                out[crop.place] |= crop.values != 0
        return out

    @property
    def nbytes(self) -> int:
        """Memory of what is kept."""
        return sum(crop.values.nbytes for crop in self._crops if crop is not None)

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a cropped volume cannot be seen as an array without a copy")
        out = np.zeros(self.shape, self.dtype if dtype is None else dtype)
        for z, crop in enumerate(self._crops):
            if crop is not None:
                out[(z, *crop.place)] = crop.values
        return out


Volume: TypeAlias = NDArray[S] | CroppedVolume[S]
"""(Z, H, W), of which `volume[z]` is a slice."""


def crop_of(volume: Volume[S], z: int) -> Crop[S] | None:
    """The part of a slice that holds anything; None where it holds nothing."""
    return volume.crop(z) if isinstance(volume, CroppedVolume) else Crop.of(volume[z])


def shown_slices(volume: Volume[Any]) -> list[int]:
    """Slices that hold anything, ascending."""
    if isinstance(volume, CroppedVolume):
        return volume.shown()
    return [int(z) for z in np.flatnonzero(volume.any((1, 2)))]


def marked_pixels(volume: Volume[Any]) -> NDArray[np.int64]:
    """(Z,): on how many pixels of each slice something is held."""

    def count(z: int) -> int:
        crop = crop_of(volume, z)
        return 0 if crop is None else int(np.count_nonzero(crop.values))

    return np.array(parallel_map(count, range(len(volume))), np.int64)
