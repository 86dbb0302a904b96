"""Jobs as those see them who may: their own, and those that a DICOM node took in."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from pydantic import ValidationError

from jcs_ct.errors import NoSuchJobError
from jcs_ct.jobs.job import Job, JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.notices import CATALOG
from jcs_ct.service.schemas import JobDocument, JobList, Summary

NODE = "pacs"
"""Owner of what the DICOM node took in: everybody's, and no user's name."""


def sees(user: str, owner: str) -> bool:
    """Whether a user may know of a job, and change it."""
    return owner in (user, NODE)


def visible_job(queue: JobQueue, job_id: str, user: str) -> Job:
    """A job.

    Raises:
        NoSuchJobError: Missing or owned by someone else; deliberately indistinguishable.
    """
    job = queue.job(job_id)
    if not sees(user, job.owner):
        raise NoSuchJobError(f"there is no job {job_id!r}; it may have been removed: list the jobs")
    return job


def restored(queue: JobQueue, job_id: str, user: str) -> Job:
    """A job that was removed, brought back.

    Raises:
        NoSuchJobError: Missing, gone for good, or owned by someone else; deliberately indistinguishable.
    """
    for owner in (user, NODE):
        with contextlib.suppress(NoSuchJobError):
            return queue.restore(job_id, owner)
    raise NoSuchJobError(f"there is no removed job {job_id!r}; it may be gone for good: list the removed ones")


def listed(queue: JobQueue, user: str, state: JobState | None, limit: int, offset: int) -> JobList:
    """A page of the worklist."""
    jobs, total = queue.listing((user, NODE), state, limit, offset)
    return JobList(jobs=[described(queue, job) for job in jobs], total=total)


def described(queue: JobQueue, job: Job) -> JobDocument:
    """A job as others are told of it."""
    return JobDocument(
        id=job.id,
        name=job.name,
        owner=job.owner,
        state=job.state,
        submitted_at=_moment(job.submitted_at),
        started_at=None if job.started_at is None else _moment(job.started_at),
        finished_at=None if job.finished_at is None else _moment(job.finished_at),
        stage=job.stage,
        stage_done=job.stage_done,
        stage_total=job.stage_total,
        reason=job.reason,
        position=queue.ahead(job.id) if job.state is JobState.QUEUED else None,
        summary=_summary(job),
        revision=job.summary.get("revision", 0) if job.state.has_result else None,
        signed=job.summary.get("signed"),
        held=job.held,
        can_edit=job.state is JobState.DONE,
        upload=job.upload or None,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _summary(job: Job) -> Summary:
    try:
        summary = Summary.model_validate(dict(job.summary))
    except ValidationError:  # written by another task
        return Summary()
    # Jobs of earlier versions hold words in place of codes.
    doubts = dict.fromkeys(CATALOG[each].short if each in CATALOG else each for each in summary.doubts)
    return summary.model_copy(update={"doubts": list(doubts)})
