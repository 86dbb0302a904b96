"""What becomes of jobs that have ended: held, removed, restored, and at last forgotten.

    ended ──remove──► removed ──purge──► forgotten
      ▲                  │
      └─────restore──────┘

Nothing is deleted at once: what somebody removes by mistake, or a limit removes by age or number, can be restored until
it is purged.
"""

from __future__ import annotations

import time

from jcs_ct.errors import QueueError
from jcs_ct.jobs.clock import tick
from jcs_ct.jobs.database import Database
from jcs_ct.jobs.folders import Folders
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.ledger import find, note


class Keeping:
    """The ended jobs of one store."""

    def __init__(self, database: Database, folders: Folders) -> None:
        self._database = database
        self._folders = folders

    def hold(self, job_id: str, owner: str | None, held: bool) -> None:
        """Keep a job from being removed by age or number, or no longer.

        Raises:
            NoSuchJobError: There is none of this owner.
        """
        with self._database.transaction() as db:
            find(db, job_id, owner)
            db.execute("UPDATE jobs SET held = ? WHERE id = ?", (held, job_id))
            note(db, job_id)

    def remove(self, job_id: str, owner: str | None) -> None:
        """Have a job that has ended no longer seen; `purge` forgets it, and until then it can be restored.

        Raises:
            NoSuchJobError: There is none of this owner.
            QueueError: It has not ended.
        """
        with self._database.transaction() as db:
            row = find(db, job_id, owner)
            if not JobState(row["state"]).ended:
                raise QueueError(f"job {job_id} is {row['state']}; expected one that has ended: cancel it first")
            db.execute("DELETE FROM events WHERE job_id = ?", (job_id,))
            db.execute(
                "INSERT INTO events (job_id, owner, at, stage_done, stage_total) VALUES (?, ?, ?, 0, 0)",
                (job_id, row["owner"], time.time()),
            )
            # The key is free again: who submits the study once more gets a new job.
            db.execute("UPDATE jobs SET removed_at = ?, key = NULL WHERE id = ?", (tick(db), job_id))

    def restore(self, job_id: str, owner: str | None) -> None:
        """Have a removed job seen again.

        Raises:
            NoSuchJobError: There is none of this owner, or it was purged.
        """
        with self._database.transaction() as db:
            find(db, job_id, owner, removed=True)
            db.execute("UPDATE jobs SET removed_at = NULL, kept_since = ? WHERE id = ?", (tick(db), job_id))
            note(db, job_id)

    def purge(self, job_id: str) -> None:
        """Forget a removed job, and put its files into the trash; nothing happens to one that was restored."""
        with self._database.transaction() as db:
            if not db.execute("DELETE FROM jobs WHERE id = ? AND removed_at IS NOT NULL", (job_id,)).rowcount:
                return
        # Afterwards: a folder without a row is swept away, a row without its folder would have lost its result.
        self._folders.set_aside(self._folders.job(job_id))
