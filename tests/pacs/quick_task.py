"""What the queue runs here in place of a Diagnoser: true SEG and SR of whatever study, within a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from jcs_ct.jobs.job import JobOptions, JobState, Outcome
from jcs_ct.jobs.task import Task
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.writer import write_reports
from jcs_ct.study.reader import read_study
from tests.reports.conftest import diagnose

if TYPE_CHECKING:
    from jcs_ct.diagnosis.reporter import Reporter

TASK = "tests.pacs.quick_task:prepare"


def prepare(threads: int | None, log: str) -> Task:
    """Make the task; starts are written to `log`, each with the number of slices."""
    del threads

    def task(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        del options
        reporter.stage("reading", 0)
        read = read_study(study)
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(f"{len(read)}\n")
        hu = np.asarray(read.voxels, dtype=np.int16)
        air = ndimage.binary_erosion(hu < -500)
        labels, _ = ndimage.label(air)
        outside = np.unique(labels[:, 0])
        lungs = air & ~np.isin(labels, outside)
        lesions = lungs & (hu > -700)
        write_reports(diagnose(read, lesions, lungs), reports, [ReportFormat.SEG, ReportFormat.SR, ReportFormat.JSON])
        return Outcome(JobState.DONE, {"verdict": "positive"})

    return task
