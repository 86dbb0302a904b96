"""Removes what is old, and what kills have left over. Any process may sweep at any time, also several at once."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from jcs_ct.errors import NoSuchJobError
from jcs_ct.jobs.clock import lived_until, tick
from jcs_ct.jobs.drafts import settle
from jcs_ct.jobs.intake import is_abandoned
from jcs_ct.jobs.job import UNFINISHED, JobState
from jcs_ct.jobs.queue import JobQueue

_KEPT_REMOVALS = 1000
"""Events that tell of removed jobs; who was away for longer lists the jobs anew."""
_KEPT_SIGNS_S = 24 * 3600.0
_UNFINISHED = ", ".join(f"'{state}'" for state in UNFINISHED)


def sweep(queue: JobQueue) -> None:
    """Remove ended jobs that need not be kept, half-arrived studies, abandoned attempts and folders without a job."""
    _retire(queue)
    _purge(queue)
    _drop_arrivals(queue)
    _drop_leftovers(queue)
    _drop_old_events(queue)
    for sign in queue.folders.workers.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - sign.stat().st_mtime > _KEPT_SIGNS_S:
                sign.unlink()
    queue.folders.empty_trash()


def _retire(queue: JobQueue) -> None:
    """Remove what is too old, or too much of one owner or peer; never what was signed or is held."""
    age, count = queue.settings.retention_age_s, queue.settings.retention_count
    # Those without a result are counted apart: nobody's failures may push anybody's results out.
    numbered = (
        "SELECT *, row_number() OVER (PARTITION BY owner, source, state IN ('done', 'not_assessable') "
        f"ORDER BY kept_since DESC, number DESC) AS place FROM jobs WHERE state NOT IN ({_UNFINISHED}) "
        "AND removed_at IS NULL AND NOT signed AND NOT held"
    )
    with queue.database.transaction() as db:
        too_old = tick(db) - (float("inf") if age is None else age)
        most = -1 if count is None else count
        question = f"SELECT id, owner, kept_since FROM ({numbered}) WHERE kept_since < ? OR (? >= 0 AND place > ?)"
        rows = db.execute(question, (too_old, most, most)).fetchall()
    for row in rows:
        with contextlib.suppress(NoSuchJobError):  # another one was faster
            queue.keeping.remove(row["id"], owner=None)
            _note(queue, "retention: removed", row["id"], row["owner"])


def _purge(queue: JobQueue) -> None:
    """Forget removed jobs whose time is over; the oldest of them earlier, where the disk is nearly full."""
    with queue.database.reading() as db:
        too_old = lived_until(db, time.time()) - queue.settings.undelete_s
        question = "SELECT id, owner, removed_at FROM jobs WHERE removed_at IS NOT NULL ORDER BY removed_at, number"
        rows = db.execute(question).fetchall()
    for row in rows:
        if row["removed_at"] <= too_old or queue.folders.free_bytes() < queue.settings.min_free_bytes:
            queue.keeping.purge(row["id"])
            queue.folders.empty_trash()
            _note(queue, "retention: purged", row["id"], row["owner"])


def _note(queue: JobQueue, what: str, job_id: str, owner: str) -> None:
    queue.audit.append(who=None, what=what, job=job_id, owner=owner, status=None, **{"from": ""}, lasting=True)


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
            several = queue.folders.leftovers_of_several(row["id"], row["study"])
            for leftover in (*_leftovers(folder, JobState(row["state"]), row["claim"]), *several):
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
