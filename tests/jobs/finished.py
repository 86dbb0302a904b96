"""Finished jobs for tests: studies of a phantom, diagnosed by a model that is always right, reported in earnest."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.reporter import Reporter
from jcs_ct.jobs.diagnosing import write_result
from jcs_ct.jobs.job import JobOptions, Outcome
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.revisions import masks_of, reports_of
from jcs_ct.jobs.worker import Worker
from jcs_ct.normalization import lies_on_its_side, turned_upright
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.json_report import result_schema
from jcs_ct.study.reader import read_study
from tests.phantoms import ChestPhantom, write_dicom_series, write_nifti, write_png_slices
from tests.reports.conftest import diagnose

KINDS = ("dicom", "nifti", "pictures", "turned")
FORMATS = {
    "dicom": (ReportFormat.SR, ReportFormat.SEG, ReportFormat.HTML, ReportFormat.PDF, ReportFormat.NIFTI),
    "nifti": (ReportFormat.NIFTI, ReportFormat.CSV),
    "pictures": (ReportFormat.PNG, ReportFormat.HTML),
    "turned": (ReportFormat.PNG,),
}
of_all_kinds = pytest.mark.parametrize("case", KINDS, indirect=True)
quickly = pytest.mark.parametrize("case", ["nifti"], indirect=True)
SPACING = (8.0, 2.9, 2.7)
PHANTOM = ChestPhantom.infected(shape=(24, 96, 120), spacing=SPACING)


def write_study(kind: str, folder: Path) -> Path:
    """The phantom as a DICOM series, a NIfTI file whose axes run otherwise, or pictures, upright or on their side."""
    if kind == "dicom":
        write_dicom_series(folder, PHANTOM.hu, positions=[8.0 * z for z in range(24)], spacing=SPACING[1:])
    elif kind == "nifti":
        folder.mkdir()
        write_nifti(folder / "ct.nii.gz", PHANTOM.hu, spacing=SPACING, axcodes=("A", "I", "R"))
    else:
        write_png_slices(folder, PHANTOM.hu if kind == "pictures" else on_its_side(PHANTOM.hu))
    return folder


def on_its_side(upright: NDArray[Any]) -> NDArray[Any]:
    """What has to be turned by a quarter counter-clockwise to lie as the phantom does."""
    return np.ascontiguousarray(np.rot90(upright, -1, (1, 2)))


def finished(
    queue: JobQueue,
    source: Path,
    formats: Collection[ReportFormat] = (),
    lesions: NDArray[np.bool_] = PHANTOM.lesion_mask,
    owner: str = "anna",
) -> str:
    """Hand a study of the phantom in, and work it off."""

    def task(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        del reporter
        read = read_study(study, options.series_uid)
        on_side = read.voxels.shape != PHANTOM.shape
        upright = turned_upright(read) if on_side else read
        assert on_side == lies_on_its_side(read, on_its_side(PHANTOM.lung_mask) if on_side else PHANTOM.lung_mask)
        return write_result(diagnose(upright, lesions, PHANTOM.lung_mask), read, reports, options)

    job = queue.submit(source, owner, options=JobOptions(formats=tuple(formats)))
    claim = queue.ledger.claim("worker")
    assert claim is not None
    assert claim.job.id == job
    Worker(queue, "worker", task).work_off(claim)
    assert queue.job(job).state.has_result, queue.job(job).reason
    return job


@dataclass(frozen=True)
class Case:
    """A queue with one finished job."""

    queue: JobQueue
    job: str

    @property
    def result(self) -> dict[str, Any]:
        """Of the latest revision, held to its schema."""
        document: dict[str, Any] = json.loads((reports_of(self.queue, self.job) / "result.json").read_text("utf-8"))
        jsonschema.validate(document, result_schema())
        return document

    @property
    def opacities(self) -> NDArray[np.bool_]:
        """Of the diagnosis."""
        return self.labels > 0

    @property
    def labels(self) -> NDArray[np.uint16]:
        labels = masks_of(self.queue, self.job, 0).lesion_labels
        assert labels is not None
        return labels

    def with_settings(self, **changes: Any) -> JobQueue:
        return JobQueue(self.queue.folders.root, replace(self.queue.settings, **changes))

    def nothing_is_left(self) -> bool:
        folders = self.queue.folders
        with self.queue.database.reading() as db:
            arrivals = db.execute("SELECT count(*) FROM arrivals").fetchone()[0]
        return not arrivals and not list(folders.incoming.iterdir()) and not list(folders.trash.iterdir())
