"""Removes what is old, and what kills have left over. Any process may sweep at any time, also several at once."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from jcs_ct.errors import NoSuchJobError
from jcs_ct.jobs.drafts import settle
from jcs_ct.jobs.intake import is_abandoned
from jcs_ct.jobs.job import UNFINISHED, JobState
from jcs_ct.jobs.queue import JobQueue

_KEPT_REMOVALS = 1000
"""Events that tell of removed jobs; who was away for longer lists the jobs anew."""
_KEPT_SIGNS_S = 24 * 3600.0


def sweep(queue: JobQueue) -> None:
    """Remove ended jobs that need not be kept, half-arrived studies, abandoned attempts and folders without a job."""
    _retire(queue)
    _drop_arrivals(queue)
    _drop_leftovers(queue)
    _drop_old_events(queue)
    for sign in queue.folders.workers.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - sign.stat().st_mtime > _KEPT_SIGNS_S:
                sign.unlink()
    queue.folders.empty_trash()


def _retire(queue: JobQueue) -> None:
    age, count = queue.settings.retention_age_s, queue.settings.retention_count
    ended = "state NOT IN ({})".format(", ".join(f"'{state}'" for state in UNFINISHED))
    too_old = time.time() - (float("inf") if age is None else age)
    with queue.database.reading() as db:
        old = db.execute(f"SELECT id FROM jobs WHERE {ended} AND finished_at < ?", (too_old,)).fetchall()
        kept = -1 if count is None else count
        order = "ORDER BY finished_at DESC, number DESC LIMIT -1 OFFSET ?"
        many = [] if kept < 0 else db.execute(f"SELECT id FROM jobs WHERE {ended} {order}", (kept,)).fetchall()
    for job_id in {row["id"] for row in (*old, *many)}:
        with contextlib.suppress(NoSuchJobError):  # another one was faster
            queue.ledger.remove(job_id, owner=None)


def _drop_arrivals(queue: JobQueue) -> None:
    for lock in queue.folders.incoming.glob("*.lock"):
        if is_abandoned(lock):
            queue.ledger.drop_arrival(lock.stem)
            shutil.rmtree(queue.folders.incoming / lock.stem, ignore_errors=True)
            lock.unlink(missing_ok=True)  # last: it is what leads here


def _drop_leftovers(queue: JobQueue) -> None:
    # One short transaction a job: it keeps claims and arrivals from changing while its folder is looked at.
    for folder in queue.folders.jobs.iterdir():
        with queue.database.transaction() as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (folder.name,)).fetchone()
            if row is None:
                queue.folders.set_aside(folder)
                continue
            for leftover in _leftovers(folder, JobState(row["state"]), row["claim"]):
                queue.folders.set_aside(leftover)
            settle(queue, db, row)


def _leftovers(folder: Path, state: JobState, claim: str | None) -> list[Path]:
    attempts = [path for path in folder.glob("attempt-*") if path.name != f"attempt-{claim}"]
    # Published, and then cancelled before anybody said that it was finished.
    unsaid = [folder / "result"] if state in (JobState.CANCELLED, JobState.FAILED) else []
    return attempts + [path for path in unsaid if path.exists()]


def _drop_old_events(queue: JobQueue) -> None:
    with queue.database.transaction() as db:
        newest = "SELECT number FROM events WHERE state IS NULL ORDER BY number DESC LIMIT -1 OFFSET ?"
        db.execute(f"DELETE FROM events WHERE number IN ({newest})", (_KEPT_REMOVALS,))
