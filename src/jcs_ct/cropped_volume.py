"""Volumes that are mostly 0 and keep only the bounding box of each slice.

Lungs are a fifth of a chest scan, opacities less. Labels, masks and maps of a whole study would together take three
times the memory of its voxels. Code that works slice by slice, as nearly all measuring and writing does, can treat a
cropped volume like an array (`Volume`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map

S = TypeVar("S", bound=np.generic)


class Crop(NamedTuple, Generic[S]):
    """The non-zero part of a slice."""

    place: tuple[slice, slice]
    """Rows and columns of the slice."""
    values: NDArray[S]
    """(h, w); read-only."""

    @classmethod
    def of(cls, values: NDArray[S], first: tuple[int, int] = (0, 0)) -> Crop[S] | None:
        """A view of the non-zero part of a picture, or None; `first` is the row and column of its first pixel."""
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
    """A volume (Z, H, W) that is 0 outside each slice's own bounding box.

    `volume[z]` returns a slice as a new (H, W) array, and `volume[z] = plane` replaces it. Several threads may do so at
    once for different slices. `np.asarray(volume)` returns the whole array, at the memory cost that this class avoids.

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
        """Build a volume from `plane(z)` of all slices, or of `indices`, in parallel."""
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
        """Replace a slice by a picture whose first pixel is at row and column `first`; 0 elsewhere."""
        crop = Crop.of(values.astype(self.dtype, copy=False), first)
        # A copy, as a view would keep the whole picture.
        self._crops[z] = None if crop is None else Crop(crop.place, crop.values.copy())

    def crop(self, z: int) -> Crop[S] | None:
        """The non-zero part of a slice; None if it is empty."""
        return self._crops[z]

    def shown(self) -> list[int]:
        """Indices of the slices that are not empty, ascending."""
        return [z for z, crop in enumerate(self._crops) if crop is not None]

    def shadow(self) -> NDArray[np.bool_]:
        """(H, W): where any slice is not 0."""
        out = np.zeros(self.shape[1:], bool)
        for crop in self._crops:
            if crop is not None:
                out[crop.place] |= crop.values != 0
        return out

    @property
    def nbytes(self) -> int:
        """Memory of the stored boxes."""
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
"""(Z, H, W); `volume[z]` is a slice."""


def crop_of(volume: Volume[S], z: int) -> Crop[S] | None:
    """The non-zero part of a slice; None if it is empty."""
    return volume.crop(z) if isinstance(volume, CroppedVolume) else Crop.of(volume[z])


def shown_slices(volume: Volume[Any]) -> list[int]:
    """Indices of the slices that are not empty, ascending."""
    if isinstance(volume, CroppedVolume):
        return volume.shown()
    return [int(z) for z in np.flatnonzero(volume.any((1, 2)))]


def marked_pixels(volume: Volume[Any]) -> NDArray[np.int64]:
    """(Z,): number of non-zero pixels of each slice."""

    def count(z: int) -> int:
        crop = crop_of(volume, z)
        return 0 if crop is None else int(np.count_nonzero(crop.values))

    return np.array(parallel_map(count, range(len(volume))), np.int64)
