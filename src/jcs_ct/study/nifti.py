"""NIfTI files: a volume, an affine, and no word about what the values mean.

NIfTI's world is RAS+ mm (x to the patient's right is negative there), ours is LPS+ as in DICOM.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from gzip import GzipFile
from io import BufferedIOBase, IOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import Notice, notice
from jcs_ct.study.files import one_line, open_maybe_gzip
from jcs_ct.study.limits import refuse_too_large
from jcs_ct.study.quality import plane_refusals
from jcs_ct.study.volume import (
    AIR_HU,
    Geometry,
    InputKind,
    IntensityKind,
    SourceGrid,
    Study,
    content_digest,
)

# NIfTI uses RAS+, DICOM LPS+. Multiplying the first two rows of an affine by -1 converts between the two.
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MAX_OFFSET = 16 * 1024**2  # of the voxels in the file: the header and its extensions, which are texts of some pages
_MAX_CONDITION = 1e4  # voxels ten thousand times longer than wide, or axes that fall together: not a volume's affine
_SAME_PLACE = 0.5  # voxels by which sform and qform may place the corners differently: a qform is stored rounded
_INT16 = np.iinfo(np.int16)


def read_nifti(path: Path, name: str) -> Study:
    """Read a .nii or .nii.gz file whose values are HU or grey levels 0..255.

    Args:
        path: The file.
        name: What to call it in messages and in `sources`.

    Returns:
        A study in canonical form; `grid` leads back to the file's own axes.

    Raises:
        UnreadableFileError: The file is damaged or holds values that are not numbers.
        UnsupportedInputError: It is not one 3-D volume of plain numbers, or the values are on an unknown scale.
    """
    volume = load_volume(path, name)
    affine = volume.affine
    # Without a stated orientation the axes are taken in the format's own order, RAS+; a notice says so.
    grid = replace(grid_of(affine), affine=affine, other_affine=volume.other_affine)
    low, high = _value_range(volume.stored, volume.slope, volume.offset, name)
    intensity = _intensity_of(low, high, name)
    voxels = _convert(grid.to_canonical(volume.stored), volume.slope, volume.offset, intensity)
    geometry = None if affine is None else geometry_of(affine, volume.stored.shape, grid)
    plane = None if affine is None else _plane(grid, volume.thick_axis)
    return Study(
        voxels=voxels,
        intensity=intensity,
        kind=InputKind.NIFTI,
        sources=(name,) * len(voxels),
        digest=content_digest(voxels, intensity, geometry),
        geometry=geometry,
        grid=grid,
        plane=plane,
        notices=(*volume.notices, *plane_refusals(plane)),
    )


@dataclass(frozen=True)
class NiftiVolume:
    """What a NIfTI file holds, before it is known what its values mean."""

    stored: NDArray[np.generic]
    """(i, j, k)."""
    slope: float
    offset: float
    affine: NDArray[np.float64] | None
    """(4, 4): indices to RAS+ mm; None if not stated."""
    other_affine: NDArray[np.float64] | None
    """The qform where it contradicts the sform."""
    thick_axis: int | None
    """Stored axis of thick slices; None if unknown."""
    notices: tuple[Notice, ...]


class _Bounded(BufferedIOBase):
    """A stream that ends where a NIfTI file must have ended.

    nibabel believes the sizes that extensions and offsets state; in a gzip file they may unfold without end.
    """

    def __init__(self, stream: GzipFile) -> None:
        self._stream = stream
        self._left = 2 * _MAX_OFFSET  # for the header and its extensions; voxels are read by `readinto`

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence != 0 or not 0 <= offset <= _MAX_OFFSET:
            raise ValueError(f"its voxels are said to begin at byte {offset}")
        return self._stream.seek(offset)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > self._left:
            raise ValueError("its header says that it has more than 32 MiB of extensions")
        self._left -= size
        return self._stream.read(size)

    def readinto(self, buffer: Any, /) -> int:
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


def load_volume(path: Path, name: str) -> NiftiVolume:
    """Read a NIfTI file of one volume, whatever its name: the one way for studies and for masks.

    Raises:
        UnreadableFileError: The file is missing or damaged.
        UnsupportedInputError: It is not one 3-D volume of plain numbers.
    """
    try:
        gzipped = open_maybe_gzip(path)
        # A plain file ends where it ends, and its voxels can be mapped rather than read.
        with path.open("rb") if gzipped is None else _Bounded(gzipped) as stream:
            image = _open_image(stream, name)
            packed = path.stat().st_size
            _refuse_unsupported(image, name, packed, gzipped is not None)
            values: Any = image.dataobj
            slope, offset = float(values.slope), float(values.inter)
            stored = np.asanyarray(values.get_unscaled())
            affine, other, notices = _stated_places(image.header, image.shape[:3], name)
            thick_axis = _thick_axis(image.header)
    except UnsupportedInputError:
        raise
    except Exception as error:  # nibabel, gzip and mmap raise nearly anything on damaged files
        raise UnreadableFileError(
            f"{name} is damaged or truncated ({one_line(error)}); expected a whole NIfTI file: copy or export it again"
        ) from error
    if stored.ndim == 4:
        stored = stored[..., 0]
    return NiftiVolume(stored, slope, offset, affine, other, thick_axis, notices)


def _open_image(stream: IOBase, name: str) -> nib.Nifti1Image:
    head = stream.read(8)
    stream.seek(0)
    second = head[4:8] in (b"n+2\0", b"ni2\0")
    if head[4:8] == b"ni2\0":
        raise _pair(name)
    if not second:
        magic = stream.read(348)[344:]
        stream.seek(0)
        if magic == b"ni1\0":
            raise _pair(name)
    return (nib.Nifti2Image if second else nib.Nifti1Image).from_stream(stream)


def _pair(name: str) -> UnsupportedInputError:
    return UnsupportedInputError(f"{name} is half of a .hdr/.img pair; expected one .nii or .nii.gz file: convert it")


def _refuse_unsupported(image: nib.Nifti1Image, name: str, packed: int, gzipped: bool) -> None:
    shape = image.shape
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 1)) or min(shape) < 1:
        raise UnsupportedInputError(
            f"{name} has {len(shape)} dimensions {tuple(shape)}; expected one 3-D volume: extract the CT volume"
        )
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UnsupportedInputError(f"{name} holds values of type {dtype}; expected plain numbers in HU or 0 to 255")
    size = math.prod(int(side) for side in shape) * dtype.itemsize
    refuse_too_large(size, packed, f"{name} with its {tuple(int(side) for side in shape)} voxels")
    if not gzipped and size > packed:
        raise ValueError(f"{tuple(int(side) for side in shape)} voxels do not fit into its {packed} bytes")


_Places = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, tuple[Notice, ...]]


def _stated_places(header: nib.Nifti1Header, shape: tuple[int, ...], name: str) -> _Places:
    """The affine that is taken, the one that contradicts it, and what is to be said about the two.

    The sform comes before the qform, as the format recommends; nibabel makes one up where neither is stated.
    """
    sform = _usable(header["sform_code"], header.get_sform)
    qform = _usable(header["qform_code"], header.get_qform)
    if sform is None and qform is None:
        return None, None, (notice("orientation-not-stated", file=name),)
    if sform is None:
        unusable = int(header["sform_code"]) > 0
        return qform, None, (notice("sform-unusable", file=name),) if unusable else ()
    if qform is None:
        return sform, None, ()
    corners = np.array([(*np.multiply(corner, np.array(shape) - 1), 1) for corner in np.ndindex(2, 2, 2)])
    off = float(np.linalg.norm(corners @ (sform - qform).T, axis=1).max())
    voxel = float(np.linalg.norm(sform[:3, :3], axis=0).min())
    if off <= _SAME_PLACE * voxel:
        return sform, None, ()
    return sform, qform, (notice("forms-contradict", file=name, off_mm=off),)


def _usable(code: Any, affine_of: Callable[[], Any]) -> NDArray[np.float64] | None:
    """A form that is stated and spans space."""
    if int(code) <= 0:
        return None
    try:
        affine = np.asarray(affine_of(), dtype=np.float64)
    except Exception:  # nibabel raises nearly anything on impossible rotations
        return None
    if not np.isfinite(affine).all() or not np.linalg.cond(affine[:3, :3]) <= _MAX_CONDITION:
        return None
    return affine


def _thick_axis(header: nib.Nifti1Header) -> int | None:
    """Stored axis along which the slices were taken: the header's word, else the axis at least twice as coarse."""
    stated = header.get_dim_info()[2]
    if stated is not None:
        return int(stated)
    zooms = np.asarray(header.get_zooms()[:3], dtype=np.float64)
    order = np.argsort(zooms)
    return int(order[2]) if zooms[order[2]] >= 2 * zooms[order[1]] > 0 else None


def grid_of(affine: NDArray[np.float64] | None) -> SourceGrid:
    """How an array is brought to canonical form; in the format's own order, RAS+, where no affine is stated."""
    orientation = io_orientation(np.eye(4) if affine is None else affine)  # (3, 2): RAS axis of each, and its sign
    axes = tuple(int(np.flatnonzero(orientation[:, 0] == world)[0]) for world in (2, 1, 0))
    signs = [orientation[axis, 1] for axis in axes]
    # z runs to S as RAS+ does; rows run to P and columns to L, against RAS+.
    flips = (bool(signs[0] < 0), bool(signs[1] > 0), bool(signs[2] > 0))
    return SourceGrid(axes=(axes[0], axes[1], axes[2]), flips=flips)


def geometry_of(affine: NDArray[np.float64], shape: tuple[int, ...], grid: SourceGrid) -> Geometry:
    """Where the canonical slices of a stored array lie."""
    to_stored = np.zeros((4, 4))
    to_stored[3, 3] = 1.0
    for canonical_axis, (stored_axis, flipped) in enumerate(zip(grid.axes, grid.flips, strict=True)):
        to_stored[stored_axis, canonical_axis] = -1.0 if flipped else 1.0
        to_stored[stored_axis, 3] = shape[stored_axis] - 1 if flipped else 0.0
    lps = _RAS_TO_LPS @ affine @ to_stored  # canonical (z, row, column) to LPS mm
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    steps = np.arange(shape[grid.axes[0]])[:, None]
    return Geometry(
        positions=lps[:3, 3] + steps * lps[:3, 0],
        column_direction=lps[:3, 2] / lengths[2],
        row_direction=lps[:3, 1] / lengths[1],
        pixel_spacing=(float(lengths[1]), float(lengths[2])),
        slice_thickness=float(lengths[0]) if len(steps) == 1 else None,
    )


def _plane(grid: SourceGrid, thick_axis: int | None) -> str | None:
    if thick_axis is None:
        return None
    return ("axial", "coronal", "sagittal")[grid.axes.index(thick_axis)]


def _value_range(stored: NDArray[np.generic], slope: float, offset: float, name: str) -> tuple[float, float]:
    bounds = np.array([stored.min(), stored.max()], dtype=np.float64) * slope + offset
    # NaN passes through min and max; so does an infinity.
    if not np.isfinite(bounds).all():
        raise UnreadableFileError(
            f"{name} holds values that are not numbers (NaN or infinite); expected HU or 0 to 255: export it again"
        )
    return float(bounds.min()), float(bounds.max())


def _intensity_of(low: float, high: float, name: str) -> IntensityKind:
    if _INT16.min <= low < -200 and low + 100 < high <= _INT16.max:
        return IntensityKind.HU
    if low >= 0 and 1 < high <= 255:
        return IntensityKind.GRAY8
    raise UnsupportedInputError(
        f"{name} holds values from {low:g} to {high:g}, which are neither HU (air near -1000) nor grey levels "
        "0 to 255: convert it to HU"
    )


def _convert(
    canonical: NDArray[np.generic], slope: float, offset: float, intensity: IntensityKind
) -> NDArray[np.generic]:
    """Scale slice by slice, so that no floating-point copy of the volume is ever held."""
    hu = intensity is IntensityKind.HU
    voxels = np.empty(canonical.shape, dtype=np.int16 if hu else np.uint8)
    low, high = (AIR_HU, _INT16.max) if hu else (0, 255)
    for z, plane in enumerate(canonical):
        values = plane if (slope, offset) == (1.0, 0.0) else plane * np.float64(slope) + offset
        voxels[z] = np.clip(np.rint(values), low, high)
    return voxels
