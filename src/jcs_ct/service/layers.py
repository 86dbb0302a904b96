"""The layers of a view: the study and its masks on one canonical grid, as NIfTI files that a browser shows.

They are made at first use, in the process of `computing.py`, and kept with the job, by revision:

    jobs/ID/view/study/{volume.nii.gz, grid.json}
    jobs/ID/view/NNNN/{lesions,lungs,activation}.nii.gz
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from jcs_ct.jobs.folders import temporary_files_in
from jcs_ct.jobs.masks import Masks
from jcs_ct.jobs.revisions import masks_of, study_of
from jcs_ct.reports.nifti_report import nifti_affine
from jcs_ct.study.volume import SourceGrid, Study, usual_spacing

MASKS = ("lesions", "lungs", "activation")
# Columns to the patient's left, rows to the back, slices to the head, as LPS+; NIfTI uses RAS+.
_UNIT_STEPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_EVEN = 0.01
"""Share by which extents of slices may differ and still count as one."""


@dataclass(frozen=True)
class ViewRequest:
    """What is to be shown, and where it is kept."""

    store: Path
    job_id: str
    revision: int
    folder: Path
    """Of the job's views."""

    @property
    def of_study(self) -> Path:
        """The part that all revisions share."""
        return self.folder / "study"

    @property
    def of_revision(self) -> Path:
        """The masks."""
        return self.folder / f"{self.revision:04d}"

    def path(self, layer: str) -> Path:
        """Where a layer lies, if there is one."""
        return (self.of_study if layer == "volume" else self.of_revision) / f"{layer}.nii.gz"

    @property
    def made(self) -> bool:
        """Whether all is there."""
        return self.of_study.exists() and self.of_revision.exists()


@dataclass(frozen=True)
class ViewGrid:
    """The grid of all layers."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None
    voxel_ml: float | None
    slice_extent_mm: list[float] | None
    pixel_area_mm2: float | None
    intensity: str


def make_view(request: ViewRequest) -> None:
    """Make what is missing of a view.

    Raises:
        JcsError: The study cannot be read any more.
    """
    request.folder.mkdir(exist_ok=True)
    for left_over in request.folder.glob(".*.partial"):  # of a process that was killed: there is one at a time
        shutil.rmtree(left_over, ignore_errors=True)
    with _temporary_folder(request.folder):  # archives are unpacked on the store's disk
        study = study_of(request.store, request.job_id)
    if not request.of_study.exists():
        _appear(request.of_study, lambda folder: _write_study(study, folder))
    if not request.of_revision.exists():
        masks = masks_of(request.store, request.job_id, request.revision)
        _appear(request.of_revision, lambda folder: _write_masks(study, masks, folder))


def read_grid(request: ViewRequest) -> ViewGrid:
    """The grid of a view that was made."""
    return ViewGrid(**json.loads((request.of_study / "grid.json").read_text(encoding="utf-8")))


def grid_of(study: Study) -> ViewGrid:
    """The grid that a study is shown on."""
    geometry, between = study.geometry, usual_spacing(study.geometry)
    shape = tuple(int(n) for n in study.voxels.shape)
    if geometry is None or between is None or not np.isfinite(geometry.slice_extents).all():
        return ViewGrid(shape, None, None, None, None, str(study.intensity))  # type: ignore[arg-type]
    extents = geometry.slice_extents
    even = float(np.ptp(extents)) <= _EVEN * float(np.median(extents))
    return ViewGrid(
        shape,  # type: ignore[arg-type]
        (float(between), float(geometry.pixel_spacing[0]), float(geometry.pixel_spacing[1])),
        float(np.median(extents)) * geometry.pixel_area / 1000 if even else None,
        None if even else [float(extent) for extent in extents],
        geometry.pixel_area,
        str(study.intensity),
    )


def view_affine(study: Study) -> NDArray[np.float64]:
    """(4, 4): column, row and slice to RAS+ mm, or to steps of 1 where nothing is known."""
    affine = nifti_affine(replace(study, grid=SourceGrid())) if grid_of(study).spacing_mm is not None else None
    return _UNIT_STEPS if affine is None else affine


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[None]:
    place = folder / f".{uuid.uuid4().hex}.partial"
    place.mkdir()
    try:
        with temporary_files_in(place):
            yield
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _appear(folder: Path, write: Callable[[Path], None]) -> None:
    """Have a folder appear as a whole."""
    partial = folder.parent / f".{uuid.uuid4().hex}.partial"
    partial.mkdir()
    try:
        write(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_study(study: Study, folder: Path) -> None:
    (folder / "grid.json").write_text(json.dumps(asdict(grid_of(study))), encoding="utf-8")
    _write(study.voxels, study, folder / "volume.nii.gz")


def _write_masks(study: Study, masks: Masks, folder: Path) -> None:
    lungs = None if masks.lung_mask is None else masks.lung_mask.view(np.uint8)
    for name, mask in (("lesions", masks.lesion_labels), ("lungs", lungs), ("activation", masks.activation)):
        if mask is not None:
            _write(mask, study, folder / f"{name}.nii.gz")


def _write(canonical: NDArray[np.generic], study: Study, path: Path) -> None:
    image: Any = nibabel.Nifti1Image(canonical.transpose(2, 1, 0), view_affine(study), dtype=canonical.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(view_affine(study), code="scanner")
    image.set_qform(None, code="unknown")
    nibabel.save(image, path)
