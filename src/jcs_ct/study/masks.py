"""Masks that the user gives for a study, as NIfTI files on the study's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.study.files import one_line
from jcs_ct.study.volume import Geometry, InputKind, Study

# NIfTI uses RAS+, DICOM LPS+. Multiplying the first two coordinates by -1 converts between the two.
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
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
    try:
        image: Any = nib.load(path)
        shape, affine, stated = image.shape, image.affine, _states_place(image)
    except Exception as error:  # nibabel and gzip raise nearly anything on damaged files
        raise _unreadable(path, error) from error
    if len(shape) != 3 or sorted(shape) != sorted(study.voxels.shape):
        raise UnsupportedInputError(
            f"{path.name} has the shape {tuple(shape)}, expected one volume of {len(study)} slices of "
            f"{study.voxels.shape[1]} x {study.voxels.shape[2]} pixels: make it on the study's own grid"
        )
    try:
        values = np.asanyarray(image.dataobj)
    except Exception as error:
        raise _unreadable(path, error) from error
    labels = _labels(values, highest, path.name)
    if study.geometry is None:
        canonical = _as_stored(labels, study)
    else:
        if not stated:
            raise UnsupportedInputError(
                f"{path.name} states no place in space (no sform, no qform), but the study has one"
            )
        turn = nib.io_orientation(affine)
        canonical = nib.apply_orientation(labels, turn).transpose(2, 1, 0)[:, ::-1, ::-1]
        affine = affine @ nib.orientations.inv_ornt_aff(turn, shape)
        _check_place(affine, canonical.shape, study.geometry, path.name)
    if canonical.shape != study.voxels.shape:
        raise UnsupportedInputError(
            f"{path.name} has {canonical.shape} slices, rows and columns, expected {study.voxels.shape}: "
            "make it on the study's own grid"
        )
    return np.ascontiguousarray(canonical)


def _unreadable(path: Path, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        f"{path} cannot be read as a mask ({one_line(error)}); expected a whole .nii or .nii.gz file"
    )


def _states_place(image: Any) -> bool:
    header = image.header
    return bool(int(header["sform_code"]) or int(header["qform_code"]))


def _labels(values: NDArray[np.generic], highest: int, name: str) -> NDArray[np.uint16]:
    # Sorting a large volume takes seconds; of whole numbers the two ends tell as much.
    whole = np.issubdtype(values.dtype, np.integer)
    found = np.array([values.min(), values.max()]) if whole and values.size else np.unique(values)
    if not np.isin(found, np.arange(highest + 1)).all():
        wrong = [f"{value:g}" for value in found.astype(float) if value not in range(highest + 1)]
        raise UnsupportedInputError(f"{name} holds the value {wrong[0]}, expected whole numbers from 0 to {highest}")
    return values.astype(np.uint16)


def _as_stored(labels: NDArray[np.uint16], study: Study) -> NDArray[np.uint16]:
    stored = study.grid.to_canonical(labels) if study.kind is InputKind.NIFTI else labels.transpose(2, 1, 0)
    return np.asarray(stored, np.uint16)


def _check_place(ras: NDArray[np.float64], shape: tuple[int, ...], geometry: Geometry, name: str) -> None:
    """Compare the corners of the mask with those of the study.

    Args:
        ras: (4, 4), indices along R, A and S to RAS+ mm.
        shape: slices, rows and columns of the mask.
        geometry: of the study.
        name: of the file.
    """
    depth, height, width = shape
    if len(geometry.positions) != depth:
        return  # another shape; the caller tells
    distances = geometry.slice_distances
    even = depth < 2 or float(np.ptp(distances)) <= _UNEVEN * float(np.median(distances))
    corners = [(z, r, c) for z in {0, depth - 1 if even else 0} for r in {0, height - 1} for c in {0, width - 1}]
    indices = np.array(corners, np.float64)
    expected = geometry.to_patient(indices)
    along = np.stack([width - 1 - indices[:, 2], height - 1 - indices[:, 1], indices[:, 0]], axis=1)  # to R, A and S
    found = (along @ ras[:3, :3].T + ras[:3, 3]) * _RAS_TO_LPS
    off = float(np.linalg.norm(found - expected, axis=1).max())
    if off > max(geometry.pixel_spacing):
        raise UnsupportedInputError(
            f"{name} lies up to {off:.1f} mm off the study, expected the same place: make it on the study's own grid"
        )
