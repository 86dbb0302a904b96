"""NIfTI volumes: lesion labels, activation mapping and lungs, on the grid of the input."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study.volume import Geometry, InputKind, Study, usual_spacing

# NIfTI uses RAS+, DICOM and Geometry use LPS+: negating x and y converts between the two.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

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
    volumes = {
        "lesions": diagnosis.lesion_labels,
        "activation": diagnosis.activation,
        "lungs": None if diagnosis.lung_mask is None else diagnosis.lung_mask.view(np.uint8),
    }
    made = {name: array for name, array in volumes.items() if array is not None}
    return [_write(array, diagnosis.study, folder / f"{name}.nii.gz") for name, array in made.items()]


def nifti_warnings(study: Study) -> list[str]:
    """What a NIfTI volume of this study cannot express, for the reader of the reports."""
    geometry = study.geometry
    if study.grid.affine is not None or geometry is None:
        return []
    if usual_spacing(geometry) is None:
        return ["The NIfTI files hold a single slice of unknown thickness; it is written as 1 mm."]
    if _is_uneven(geometry):
        distances = geometry.slice_distances
        return [
            f"The slices are unevenly spaced ({distances.min():.4g} to {distances.max():.4g} mm), which NIfTI cannot "
            f"express: the NIfTI files are written with the median distance of {np.median(distances):.4g} mm, so that "
            "positions along the patient are wrong in them. All measures use the real positions."
        ]
    return []


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


def _write(canonical: NDArray[np.generic], study: Study, path: Path) -> Path:
    # other inputs than NIfTI: i along columns, j along rows, k along slices
    array = study.grid.to_stored(canonical) if study.kind is InputKind.NIFTI else canonical.transpose(2, 1, 0)
    affine = nifti_affine(study)
    image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    if affine is not None:  # else both codes stay 0, "unknown", as in the input
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
        # A qform cannot lean as a tilted stack does; left in, it would put such a stack somewhere else than the sform.
        if not np.allclose(image.get_qform(), affine, atol=1e-3):
            image.set_qform(None, code="unknown")
    image.header["descrip"] = _description(study).encode("ascii")
    nibabel.save(image, path)
    return path


def _description(study: Study) -> str:
    """At most 79 ASCII characters: the header's field has 80."""
    text = f"JCS {study.digest[:12]}"
    if nifti_warnings(study):
        text += "; slice distances uneven or unknown, see result.json"
    return text.encode("ascii", "replace").decode("ascii")[:79]
