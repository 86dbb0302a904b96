"""Masks that the user gives for a study, as NIfTI files on the study's own grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import printable
from jcs_ct.study.files import FileKind, kind_of, other_format
from jcs_ct.study.nifti import NiftiVolume, geometry_of, grid_of, load_volume
from jcs_ct.study.volume import Geometry, InputKind, Study

_WHITE = 255
_LOBES = 5
_HALF_A_PIXEL = 0.75
"""Pixels that a mask may lie off: some programs count from corners of pixels, half a pixel along rows and columns."""
_UNEVEN = 0.05
"""Share of the usual distance by which slices may differ on an even grid, the only one that NIfTI can state."""


def read_labels(path: Path, study: Study, highest: int) -> NDArray[np.uint16]:
    """Read a mask or labels for `study`.

    Args:
        path: a .nii or .nii.gz file. Where the study has geometry the file must lie in the same place, its axes may run
            in any direction; where it has none, the file's array must be as that of a NIfTI input, or (columns, rows,
            slices) for other inputs.
        study: as it was read.
        highest: largest label to expect; 1 for a mask.

    Returns:
        (Z, H, W) canonical, 0..highest.

    Raises:
        UnreadableFileError: the file is missing, damaged or no NIfTI file.
        UnsupportedInputError: another grid, another place, or other values.
    """
    return _on_study(path, study, lambda values, name: _labels(values, highest, name))


def read_lung_mask(path: Path, study: Study) -> NDArray[np.bool_]:
    """Read a mask of both lungs for `study`: 0 and 1, 0 and 255, or labels of sides or lobes up to 5.

    Returns:
        (Z, H, W) canonical.

    Raises:
        UnreadableFileError, UnsupportedInputError: as for `read_labels`.
    """
    return _on_study(path, study, _lung_labels) > 0


def _on_study(
    path: Path, study: Study, labels_of: Callable[[NDArray[np.generic], str], NDArray[np.uint16]]
) -> NDArray[np.uint16]:
    """(Z, H, W) canonical: what a NIfTI file holds, once it is known to lie on the voxels of the study."""
    name = printable(path.name)
    _refuse_other_formats(path, name)
    volume = load_volume(path, name)
    shape = volume.stored.shape
    if sorted(shape) != sorted(study.voxels.shape):
        raise UnsupportedInputError(
            f"{name} has the shape {tuple(shape)}, expected one volume of {len(study)} slices of "
            f"{study.voxels.shape[1]} x {study.voxels.shape[2]} pixels: make it on the study's own grid"
        )
    values = volume.stored
    if (volume.slope, volume.offset) != (1.0, 0.0):
        values = values.astype(np.float64) * volume.slope + volume.offset
    labels = labels_of(values, name)
    canonical = _as_stored(labels, study) if study.geometry is None else _in_place(labels, volume, study.geometry, name)
    if canonical.shape != study.voxels.shape:
        raise UnsupportedInputError(
            f"{name} has {canonical.shape} slices, rows and columns, expected {study.voxels.shape}: "
            "make it on the study's own grid"
        )
    return np.ascontiguousarray(canonical)


def _refuse_other_formats(path: Path, name: str) -> None:
    if not path.is_file():
        raise UnreadableFileError(f"{printable(str(path))} is no file; expected a NIfTI file: check the path")
    kind = kind_of(path)
    if kind is FileKind.NIFTI:
        return
    words = other_format(path)
    if words is None and kind is FileKind.UNKNOWN:
        raise UnreadableFileError(
            f"{name} cannot be read as a mask: it is no NIfTI file, or damaged at its start; expected a whole .nii or "
            ".nii.gz file"
        )
    raise UnsupportedInputError(f"{name} is {words or f'of the kind {kind}'}; expected a mask as a NIfTI file")


def _labels(values: NDArray[np.generic], highest: int, name: str) -> NDArray[np.uint16]:
    # Sorting a large volume takes seconds; of whole numbers the two ends tell as much.
    whole = np.issubdtype(values.dtype, np.integer)
    found = np.array([values.min(), values.max()]) if whole and values.size else np.unique(values)
    if not np.isin(found, np.arange(highest + 1)).all():
        wrong = [f"{value:g}" for value in found.astype(float) if value not in range(highest + 1)]
        raise UnsupportedInputError(f"{name} holds the value {wrong[0]}, expected whole numbers from 0 to {highest}")
    return values.astype(np.uint16)


def _lung_labels(values: NDArray[np.generic], name: str) -> NDArray[np.uint16]:
    if values.size and values.max() == _WHITE and bool(((values == 0) | (values == _WHITE)).all()):
        return np.asarray(values != 0, np.uint16)
    try:
        return _labels(values, _LOBES, name)
    except UnsupportedInputError as error:
        raise UnsupportedInputError(f"{error}, or 0 and {_WHITE}: give a mask of the lungs") from error


def _as_stored(labels: NDArray[np.uint16], study: Study) -> NDArray[np.uint16]:
    stored = study.grid.to_canonical(labels) if study.kind is InputKind.NIFTI else labels.transpose(2, 1, 0)
    return np.asarray(stored, np.uint16)


def _in_place(labels: NDArray[np.uint16], volume: NiftiVolume, geometry: Geometry, name: str) -> NDArray[np.uint16]:
    """The labels in canonical form by the form of the file that lies on the study; sform and qform may differ."""
    if volume.affine is None:
        raise UnsupportedInputError(
            f"{name} states no place in space (no usable sform or qform), but the study has one: make it on the grid "
            "of the study"
        )
    off: list[float] = []
    for affine in (volume.affine, volume.other_affine):
        if affine is None:
            continue
        grid = grid_of(affine)
        canonical = np.asarray(grid.to_canonical(labels), np.uint16)
        if len(canonical) != len(geometry.positions):
            return canonical  # another shape; the caller tells
        off.append(_distance_off(geometry_of(affine, labels.shape, grid), geometry, canonical.shape))
        if off[-1] <= _HALF_A_PIXEL * max(geometry.pixel_spacing):
            return canonical
    raise UnsupportedInputError(
        f"{name} lies up to {off[0]:.1f} mm off the study, expected the same place: make it on the study's own grid"
    )


def _distance_off(found: Geometry, expected: Geometry, shape: tuple[int, ...]) -> float:
    """The largest distance in mm between the corners of a mask and those of the study."""
    depth, height, width = shape
    distances = expected.slice_distances
    even = depth < 2 or float(np.ptp(distances)) <= _UNEVEN * float(np.median(distances))
    corners = [(z, r, c) for z in {0, depth - 1 if even else 0} for r in {0, height - 1} for c in {0, width - 1}]
    indices = np.array(corners, np.float64)
    return float(np.linalg.norm(found.to_patient(indices) - expected.to_patient(indices), axis=1).max())
