"""What is removed, and what is not."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.job import JobState, Outcome
from jcs_ct.jobs.ledger import Arrival
from jcs_ct.jobs.queue import JobQueue
from tests.jobs.stores import quick, submit


def failed(queue: JobQueue, folder: Path) -> str:
    job = submit(queue, folder)
    claim = queue.ledger.claim("worker")
    assert claim is not None
    queue.ledger.fail(claim.token, "damaged")
    return job


def with_retention(queue: JobQueue, age: float | None, count: int | None) -> JobQueue:
    settings = dataclasses.replace(queue.settings, retention_age_s=age, retention_count=count)
    return JobQueue(queue.folders.root, settings)


def test_only_the_latest_ended_jobs_are_kept(queue: JobQueue, tmp_path: Path) -> None:
    jobs = [failed(queue, tmp_path) for _ in range(4)]
    waiting = submit(queue, tmp_path)
    with with_retention(queue, None, 2) as keeping:
        sweep(keeping)
    assert [job.id for job in queue.jobs()] == [waiting, jobs[3], jobs[2]]
    assert {path.name for path in queue.folders.jobs.iterdir()} == {waiting, jobs[3], jobs[2]}
    assert list(queue.folders.trash.iterdir()) == []


def test_old_jobs_are_removed_and_waiting_ones_never(queue: JobQueue, tmp_path: Path) -> None:
    old = failed(queue, tmp_path)
    young, waiting = failed(queue, tmp_path), submit(queue, tmp_path)
    with queue.database.transaction() as db:
        db.execute("UPDATE jobs SET kept_since = kept_since - 3600 WHERE id = ?", (old,))
        db.execute("UPDATE jobs SET submitted_at = submitted_at - 7200 WHERE id = ?", (waiting,))
    with with_retention(queue, 1800, None) as keeping:
        sweep(keeping)
    assert [job.id for job in queue.jobs()] == [waiting, young]
    with with_retention(queue, None, None) as keeping:
        sweep(keeping)
    assert len(queue.jobs()) == 2


def test_what_kills_left_over_is_removed_and_what_is_in_use_is_not(queue: JobQueue, tmp_path: Path) -> None:
    cancelled, running = submit(queue, tmp_path), submit(queue, tmp_path)
    old = queue.ledger.claim("worker")
    new = queue.ledger.claim("worker")
    assert old is not None
    assert new is not None
    for claim in (old, new):
        queue.folders.attempt(claim.job.id, claim.token).mkdir()
    # Published, but cancelled before anybody said that it was finished.
    queue.folders.result(cancelled).mkdir()
    queue.folders.outcome(cancelled).write_text(Outcome(JobState.DONE).as_json())
    queue.cancel(cancelled)
    (queue.folders.job("0" * 32) / "input").mkdir(parents=True)
    sweep(queue)
    assert [path.name for path in queue.folders.job(cancelled).iterdir()] == ["input"]
    assert {path.name for path in queue.folders.job(running).iterdir()} == {"input", f"attempt-{new.token}"}
    assert {path.name for path in queue.folders.jobs.iterdir()} == {cancelled, running}


def test_half_arrived_study_is_removed_when_its_process_is_gone(queue: JobQueue) -> None:
    queue.ledger.reserve("gone", 1000)
    (queue.folders.incoming / "gone" / "input").mkdir(parents=True)
    lock = queue.folders.incoming / "gone.lock"
    lock.touch()
    sweep(queue)
    assert lock.exists(), "it may only just have been made"
    os.utime(lock, (time.time() - 60,) * 2)
    sweep(queue)
    assert list(queue.folders.incoming.iterdir()) == []
    with queue.database.reading() as db:
        assert db.execute("SELECT count(*) FROM arrivals").fetchone()[0] == 0


def test_study_that_is_arriving_is_left_alone(queue: JobQueue, tmp_path: Path) -> None:
    before = queue.ledger.admit
    swept = []

    def admit(arrival: Arrival, size: int) -> str:
        os.utime(queue.folders.incoming / f"{arrival.job_id}.lock", (time.time() - 60,) * 2)
        with JobQueue(queue.folders.root, quick(tmp_path)) as other:
            sweep(other)
        swept.append(arrival.job_id)
        return before(arrival, size)

    queue.ledger.admit = admit  # type: ignore[method-assign]
    job = submit(queue, tmp_path)
    assert swept == [job]
    assert queue.study_path(job).exists()


def test_events_of_removed_jobs_do_not_pile_up(queue: JobQueue) -> None:
    with queue.database.transaction() as db:
        rows = [(f"{k}",) for k in range(1500)]
        db.executemany("INSERT INTO events (job_id, owner, at, stage_done, stage_total) VALUES (?, 'a', 0, 0, 0)", rows)
    sweep(queue)
    events = queue.events(limit=5000)
    assert [event.job_id for event in events] == [str(k) for k in range(500, 1500)]
