"""Queues for tests: quick settings, studies, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jcs_ct.jobs.job import Job
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from tests.jobs.stand_in import TASK, Orders, contents

REPOSITORY = Path(__file__).resolve().parents[2]


def quick(folder: Path, **changes: Any) -> QueueSettings:
    """Settings with the stand-in, whose starts are written to `starts.log` in `folder`, and without patience."""
    chosen: dict[str, Any] = {
        "task": TASK,
        "task_settings": {"log": str(folder / "starts.log")},
        "retry_delay_s": 0.01,
        "poll_s": 0.02,
        "heartbeat_s": 0.2,
        "lease_s": 20.0,
        "grace_s": 0.5,
        "niceness": 0,
        "min_free_bytes": 0,
        "owner_share": 1.0,
        "undelete_s": 0.0,
        "memory_bytes": None,
    }
    return QueueSettings(**{**chosen, **changes})


def submit(queue: JobQueue, folder: Path, owner: str = "anna", **orders: Any) -> str:
    """Submit a study with these orders."""
    return queue.submit(Orders(**orders).write(folder / "upload.json"), owner, move=True)


def wait_for(queue: JobQueue, job_id: str, condition: Callable[[Job], bool], limit_s: float = 60.0) -> Job:
    """The job, as soon as it is as it should be."""
    deadline = time.monotonic() + limit_s
    while not condition(job := queue.job(job_id)):
        assert time.monotonic() < deadline, f"still {job}"
        time.sleep(0.02)
    return job


def ended(queue: JobQueue, job_id: str, limit_s: float = 60.0) -> Job:
    """The job, as soon as it has ended."""
    return wait_for(queue, job_id, lambda job: job.state.ended, limit_s)


def reports_of(queue: JobQueue, job_id: str) -> dict[str, bytes]:
    """The reports of a job, by name."""
    return {path.name: path.read_bytes() for path in queue.reports_path(job_id).iterdir()}


def is_whole(queue: JobQueue, job_id: str, key: str) -> bool:
    """Whether the reports are those of the study, all of them and nothing else."""
    return reports_of(queue, job_id) == contents(key)
