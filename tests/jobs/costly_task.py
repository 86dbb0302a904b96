"""What the queue runs in tests of a worker's limits: a study says what it takes of the computer."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from jcs_ct.errors import UnreadableFileError
from jcs_ct.jobs.job import JobOptions, JobState, Outcome
from jcs_ct.jobs.task import Task

TASK = "tests.jobs.costly_task:prepare"
MIB = 1024**2


def prepare(threads: int | None) -> Task:
    """Make it."""
    del threads

    def task(study: Path, reports: Path, options: JobOptions, reporter: object) -> Outcome:
        del options
        reporter.stage("reading", 0)  # type: ignore[attr-defined]
        what, _, port = study.read_text().partition(" ")
        try:
            _take(what)
        except Exception as error:  # as readers do with whatever is wrong with a file
            if what != "swallow":
                raise UnreadableFileError("the study is damaged") from error
        if what == "swallow":
            _compute(60)
        if what == "later":
            reporter.stage("computing", 0)  # type: ignore[attr-defined]
            _compute(60)
        reports.mkdir()
        return Outcome(JobState.DONE, {"verdict": _network(int(port)) if what == "network" else "negative"})

    return task


def _take(what: str) -> None:
    if what == "memory":
        kept = []
        while True:
            kept.append(bytearray(64 * MIB))
    if what in ("time", "swallow"):
        _compute(60)


def _compute(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(10_000))


def _network(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return "reached"
    except OSError:
        return "not reached"
