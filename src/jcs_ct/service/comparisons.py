"""Other studies of a patient, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jcs_ct.diagnosis import follow_up
from jcs_ct.jobs.job import Job, JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.reports.follow_up_report import follow_up_document
from jcs_ct.reports.json_report import plain
from jcs_ct.reports.stored_result import StoredResult, read_result
from jcs_ct.service import results
from jcs_ct.service.schemas import JobDocument
from jcs_ct.service.worklist import NODE, described

_PAGE = 500
_MOST = 50


def of_same_patient(queue: JobQueue, job: Job, user: str) -> list[JobDocument]:
    """Other studies with a result that state the same patient's ID, the latest study first."""
    patient = _patient(job)
    if not patient:
        return []
    others = [other for other in _done(queue, user) if other.id != job.id and _patient(other) == patient]
    others.sort(key=lambda other: (str(other.summary.get("study_date") or ""), other.submitted_at), reverse=True)
    return [described(queue, other) for other in others[:_MOST]]


def compared(queue: JobQueue, earlier: Job, later: Job) -> dict[str, Any]:
    """What `jcs compare` writes as JSON, of the latest revisions.

    Raises:
        UsageError: The two cannot be compared.
    """
    then, now = _result(queue, earlier), _result(queue, later)
    document: dict[str, Any] = plain(follow_up_document(follow_up.compare(then.measures, now.measures), then, now))
    return document


def _result(queue: JobQueue, job: Job) -> StoredResult:
    reports = results.reports_of(queue, job, None)[1]
    results.file(reports, "result.json")
    return read_result(reports)


def _done(queue: JobQueue, user: str) -> Iterator[Job]:
    offset, total = 0, 1
    while offset < total:
        page, total = queue.listing((user, NODE), JobState.DONE, _PAGE, offset)
        yield from page
        offset += _PAGE


def _patient(job: Job) -> str:
    stated = job.summary.get("patient")
    return str(stated.get("id") or "") if isinstance(stated, dict) else ""
