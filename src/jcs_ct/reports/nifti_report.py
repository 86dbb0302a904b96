"""NIfTI volumes: lesion labels, activation mapping and lungs, on the grid of the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import Notice, notice
from jcs_ct.study.volume import Geometry, InputKind, SourceGrid, Study, usual_spacing

# NIfTI uses RAS+, DICOM and Geometry use LPS+: negating x and y converts between the two.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Other inputs than NIfTI files: i along columns, j along rows, k along slices.
_OWN_GRID = SourceGrid(axes=(2, 1, 0))

_UNEVEN = 0.05
"""Share of the usual distance that a slice may lie off its place on an even grid: beyond, the grid is called uneven."""


def has_grid(study: Study) -> bool:
    """Whether masks of this study can be written as NIfTI volumes."""
    return study.geometry is not None or study.kind is InputKind.NIFTI


def write_niftis(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write `lesions.nii.gz` (uint16 ids), `activation.nii.gz` and `lungs.nii.gz` (uint8), as far as there are any.

    A NIfTI input gets its own grid and affine back, so that masks lie over it in any viewer; a DICOM series is written
    in canonical order with the affine of its geometry.
    """
    volumes: dict[str, CroppedVolume[Any] | None] = {
        "lesions": diagnosis.lesion_labels,
        "activation": diagnosis.activation,
        "lungs": diagnosis.lung_mask,
    }
    made = {name: volume for name, volume in volumes.items() if volume is not None}
    return [_write(volume, diagnosis.study, folder / f"{name}.nii.gz") for name, volume in made.items()]


def nifti_warnings(study: Study) -> tuple[Notice, ...]:
    """What a NIfTI volume of this study cannot express."""
    geometry = study.geometry
    if study.grid.affine is not None or geometry is None:
        return ()
    if usual_spacing(geometry) is None:
        return (notice("nifti-thickness-unknown"),)
    if not _is_uneven(geometry):
        return ()
    distances = geometry.slice_distances
    least, most, median = float(distances.min()), float(distances.max()), float(np.median(distances))
    return (notice("nifti-uneven", least_mm=least, most_mm=most, median_mm=median),)


def nifti_affine(study: Study) -> NDArray[np.float64] | None:
    """(4, 4): indices of the written array to RAS+ mm; None for a NIfTI input that states none."""
    geometry = study.geometry
    if study.grid.affine is not None or geometry is None:
        return study.grid.affine
    lps = np.eye(4)  # columns: steps along column, row and slice index, then the origin
    lps[:3, 0] = geometry.column_direction * geometry.pixel_spacing[1]
    lps[:3, 1] = geometry.row_direction * geometry.pixel_spacing[0]
    lps[:3, 2] = _slice_step(geometry)
    lps[:3, 3] = geometry.positions[0]
    return _LPS_TO_RAS @ lps


def _slice_step(geometry: Geometry) -> NDArray[np.float64]:
    """(3,): from one slice to the next; the way from first to last may lean (gantry tilt) and is kept as it is."""
    if len(geometry.positions) == 1:
        return geometry.normal * (usual_spacing(geometry) or 1.0)
    span = geometry.positions[-1] - geometry.positions[0]
    if _is_uneven(geometry):
        return np.asarray(span * (np.median(geometry.slice_distances) / (span @ geometry.normal)))
    return np.asarray(span / (len(geometry.positions) - 1))


def _is_uneven(geometry: Geometry) -> bool:
    count = len(geometry.positions)
    if count < 3:
        return False
    even = np.linspace(geometry.positions[0], geometry.positions[-1], count)
    off = np.linalg.norm(geometry.positions - even, axis=1).max()
    return bool(off > _UNEVEN * np.median(geometry.slice_distances))


def _write(volume: CroppedVolume[Any], study: Study, path: Path) -> Path:
    grid = study.grid if study.kind is InputKind.NIFTI else _OWN_GRID
    header = _header(tuple(volume.shape[axis] for axis in np.argsort(grid.axes)), volume.dtype, study)
    # By nibabel's own opener, but not by its images, which want the whole array at once.
    with nibabel.openers.Opener(str(path), "wb") as stream:
        header.write_to(stream)
        stream.write(bytes(header.get_data_offset() - stream.tell()))
        for plane in _stored_planes(volume, grid):
            stream.write(plane.tobytes(order="F"))
    return path


def _header(shape: tuple[int, ...], dtype: np.dtype[Any], study: Study) -> nibabel.Nifti1Header:
    """Of a file that holds an array of this shape (i, j, k), masks as bytes."""
    held = np.dtype(np.uint8) if dtype.kind == "b" else dtype
    affine = nifti_affine(study)
    image = nibabel.Nifti1Image(np.broadcast_to(np.zeros((), held), shape), affine, dtype=held)
    if affine is not None:  # else both codes stay 0, "unknown", as in the input
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
        if study.grid.other_affine is not None:  # as in the source, so that readers of either form place both alike
            image.set_qform(study.grid.other_affine, code="scanner")
        # A qform cannot lean as a tilted stack does; left in, it would put such a stack somewhere else than the sform.
        elif not np.allclose(image.get_qform(), affine, atol=1e-3):
            image.set_qform(None, code="unknown")
    image.header["descrip"] = _description(study).encode("ascii")
    image.update_header()
    image.header.set_slope_inter(1, 0)
    return image.header


def _stored_planes(volume: CroppedVolume[Any], grid: SourceGrid) -> Iterator[NDArray[Any]]:
    """The planes (i, j) of the stored array for each k; one at a time where they are slices of the volume."""
    if grid.axes[0] == 2:
        for z in range(len(volume))[:: -1 if grid.flips[0] else 1]:
            yield grid.to_stored(volume[z][None])[..., 0]
    else:
        yield from np.moveaxis(grid.to_stored(np.asarray(volume)), 2, 0)


def _description(study: Study) -> str:
    """At most 79 ASCII characters: the header's field has 80."""
    text = f"JCS {study.digest[:12]}"
    if nifti_warnings(study):
        text += "; slice distances uneven or unknown, see result.json"
    return text.encode("ascii", "replace").decode("ascii")[:79]
