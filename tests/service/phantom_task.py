"""A task that reads studies in earnest and outlines what the phantom is known to hold: a model that is always right."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.diagnosis.reporter import Reporter
from jcs_ct.jobs.diagnosing import read_submitted, write_result
from jcs_ct.jobs.job import JobOptions, Outcome
from jcs_ct.jobs.task import Task
from tests.jobs.finished import PHANTOM
from tests.reports.conftest import diagnose

TASK = "tests.service.phantom_task:prepare"


def prepare(threads: int | None) -> Task:
    """Make it."""
    del threads

    def task(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        reporter.stage("reading", 0)
        read = read_submitted(study, reports, options)
        return write_result(diagnose(read, PHANTOM.lesion_mask, PHANTOM.lung_mask), read, reports, options)

    return task
