"""Finished jobs for tests: studies of phantoms, diagnosed by a model that is always right, reported in earnest."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.pipeline import Reporter
from jcs_ct.jobs.diagnosing import write_result
from jcs_ct.jobs.job import JobOptions, Outcome
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.worker import Worker
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.study.reader import read_study
from tests.phantoms import ChestPhantom, write_dicom_series, write_nifti, write_png_slices
from tests.reports.conftest import diagnose

SPACING = (8.0, 2.9, 2.7)
PHANTOM = ChestPhantom.infected(shape=(24, 96, 120), spacing=SPACING)


def write_study(kind: str, folder: Path) -> Path:
    """The phantom as a DICOM series, a NIfTI file whose axes run otherwise, or pictures; the input of a job."""
    if kind == "dicom":
        write_dicom_series(folder, PHANTOM.hu, positions=[8.0 * z for z in range(24)], spacing=SPACING[1:])
    elif kind == "nifti":
        folder.mkdir()
        write_nifti(folder / "ct.nii.gz", PHANTOM.hu, spacing=SPACING, axcodes=("A", "I", "R"))
    else:
        write_png_slices(folder, PHANTOM.hu)
    return folder


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
        return write_result(diagnose(read, lesions, PHANTOM.lung_mask), read, reports, options)

    job = queue.submit(source, owner, options=JobOptions(formats=tuple(formats)))
    claim = queue.ledger.claim("worker")
    assert claim is not None
    assert claim.job.id == job
    Worker(queue, "worker", task).work_off(claim)
    assert queue.job(job).state.has_result, queue.job(job).reason
    return job
