"""What is known of a job, and what is told of its progress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jcs_ct.reports.formats import ReportFormat


class JobState(StrEnum):
    """Where a job is. It starts as queued, and once it has ended it never changes."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """There is a verdict, positive or negative."""
    NOT_ASSESSABLE = "not_assessable"
    """There is a result, and it says why there is no verdict."""
    FAILED = "failed"
    """There is no result; the reason says why."""
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""
        return self not in UNFINISHED

    @property
    def has_result(self) -> bool:
        """Whether there are reports."""
        return self in (JobState.DONE, JobState.NOT_ASSESSABLE)


UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobOptions:
    """What a job may ask for beyond the settings of the queue."""

    series_uid: str | None = None
    """The DICOM series to read in place of the best one."""
    formats: tuple[ReportFormat, ...] = ()
    """Which reports to write; those that fit the input if empty."""

    def as_json(self) -> str:
        """For the database."""
        return json.dumps({"series_uid": self.series_uid, "formats": [str(each) for each in self.formats]})

    @classmethod
    def from_json(cls, text: str) -> JobOptions:
        """The inverse of `as_json`."""
        stored = json.loads(text)
        return cls(stored["series_uid"], tuple(ReportFormat(each) for each in stored["formats"]))


@dataclass(frozen=True)
class Outcome:
    """How working off a study ended, where it ended with reports."""

    state: JobState
    """Done or not assessable."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """What a worklist shows, as plain data."""
    reason: str | None = None
    """Why a study is not assessable."""

    def __post_init__(self) -> None:
        if not self.state.has_result:
            raise ValueError(f"expected an outcome of done or not_assessable, found {self.state}")

    def as_json(self) -> str:
        """For `outcome.json` beside the reports, from which an interrupted finish is completed."""
        return json.dumps({"state": self.state, "summary": dict(self.summary), "reason": self.reason})

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """The inverse of `as_json`."""
        stored = json.loads(text)
        return cls(JobState(stored["state"]), stored["summary"], stored["reason"])


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read; times are seconds since 1970."""

    id: str
    """Random; says nothing of the study, and can go into logs and addresses."""
    owner: str
    name: str
    """What the study was called when it was handed in: for display only, and it may name the patient."""
    options: JobOptions
    state: JobState
    submitted_at: float
    started_at: float | None
    """Of the latest attempt."""
    finished_at: float | None
    attempts: int
    """Starts that were, or may be, the job's own: a restart of the whole service is none."""
    interruptions: int
    stage: str | None
    """What is being done, in words; the last one that was, where the job has ended."""
    stage_done: int
    stage_total: int
    """Slices of the stage; 0 where their number is not known."""
    reason: str | None
    """One line: why it failed, is not assessable, or is tried again."""
    summary: Mapping[str, Any]
    """As in `Outcome`; empty before."""
    input_bytes: int
    result_bytes: int
    source: str = ""
    """The peer that sent the study to a DICOM node."""
    held: bool = False
    """Whether somebody wants it kept whatever its age."""
    upload: str = ""
    """The job that was handed in, where it turned out to be several studies; all jobs made of it name it."""


@dataclass(frozen=True)
class Event:
    """A change of a job.

    Numbers grow in the order in which changes became visible, so who has seen number n asks for those after n and
    misses nothing. An event that a later one makes obsolete (same job, state and stage) is removed: the log does not
    grow with the number of slices, nor of retries.
    """

    number: int
    job_id: str
    owner: str
    at: float
    state: JobState | None
    """None: the job was removed."""
    stage: str | None
    stage_done: int
    stage_total: int
    reason: str | None
