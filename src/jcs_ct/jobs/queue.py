"""The queue as the doors see it: hand in, look, cancel, remove, follow.

    queue = JobQueue(Path("store"))
    with Supervisor(queue.root, settings):
        job_id = queue.submit(Path("upload.zip"), owner="anna", move=True)
        for event in queue.events(after=seen, owner="anna"): ...

Doors are told of jobs by id. An owner who is given sees and changes only what is theirs; without one, everything.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from jcs_ct.errors import QueueError
from jcs_ct.jobs.audit import AuditTrail
from jcs_ct.jobs.database import Database
from jcs_ct.jobs.folders import Folders
from jcs_ct.jobs.intake import Intake
from jcs_ct.jobs.job import Event, Job, JobOptions, JobState
from jcs_ct.jobs.keeping import Keeping
from jcs_ct.jobs.ledger import Ledger, find, job_from
from jcs_ct.jobs.room import Owner
from jcs_ct.jobs.schema import queue_schema
from jcs_ct.jobs.settings import QueueSettings


class JobQueue:
    """The queue in a folder; any number of processes and threads may have it open.

    Args:
        root: The folder, on a local disk; made where missing.
        settings: See `QueueSettings`.

    Raises:
        QueueError: The folder cannot be used, or its database is damaged or not a queue's.
    """

    def __init__(self, root: Path, settings: QueueSettings | None = None) -> None:
        self.settings = settings or QueueSettings()
        try:
            self.folders = Folders(root)
        except OSError as error:
            raise QueueError(
                f"{root} cannot hold a queue ({error.strerror}); give a folder that may be written"
            ) from error
        self.audit = AuditTrail(self.folders.audit)
        self.database = Database(self.folders.database, queue_schema())
        self.ledger = Ledger(self.database, self.folders, self.settings)
        self.keeping = Keeping(self.database, self.folders)
        self._intake = Intake(self.ledger, self.folders, self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def submit(
        self,
        source: Path,
        owner: str,
        *,
        name: str | None = None,
        options: JobOptions | None = None,
        key: str | None = None,
        move: bool = False,
        sender: str = "",
    ) -> str:
        """Hand a study in; see `Intake.take` for what is refused and how.

        `sender` is the peer that a DICOM node has the study from: peers have limits of their own.

        Returns:
            The id of the job, which would outlast a loss of power from now on.
        """
        return self._intake.take(source, Owner(owner, sender), name, options or JobOptions(), key, move)

    def job(self, job_id: str, owner: str | None = None) -> Job:
        """One job.

        Raises:
            NoSuchJobError: There is none of this owner.
        """
        with self.database.reading() as db:
            return job_from(find(db, job_id, owner))

    def jobs(
        self, owner: str | None = None, state: JobState | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[Job, ...]:
        """Jobs, the latest first."""
        question = (
            "SELECT * FROM jobs WHERE removed_at IS NULL AND (:owner IS NULL OR owner = :owner) "
            "AND (:state IS NULL OR state = :state)"
        )
        values = {"owner": owner, "state": state, "limit": limit, "offset": offset}
        with self.database.reading() as db:
            rows = db.execute(f"{question} ORDER BY number DESC LIMIT :limit OFFSET :offset", values)
            return tuple(job_from(row) for row in rows)

    def study_path(self, job_id: str, owner: str | None = None) -> Path:
        """The study of a job, as `read_study` takes it.

        Raises:
            NoSuchJobError: There is none of this owner.
        """
        with self.database.reading() as db:
            return self.folders.study(job_id, find(db, job_id, owner)["study"])

    def reports_path(self, job_id: str, owner: str | None = None) -> Path:
        """The folder of a job's reports.

        Raises:
            NoSuchJobError: There is none of this owner.
            QueueError: The job has no reports, or none yet.
        """
        job = self.job(job_id, owner)
        if not job.state.has_result:
            raise QueueError(f"job {job_id} is {job.state}; expected one that is done or not_assessable")
        return self.folders.reports(job_id)

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Have a job not done, or not finished; one that has ended stays as it is.

        The state changes at once. A worker that is at it stops at its next sign of life, or is replaced.

        Returns:
            The job as it is then.

        Raises:
            NoSuchJobError: There is none of this owner.
        """
        self.ledger.cancel(job_id, owner)
        return self.job(job_id, owner)

    def remove(self, job_id: str, owner: str | None = None) -> None:
        """Delete a job that has ended, with its study and its reports. For a while `restore` brings it back.

        Raises:
            NoSuchJobError: There is none of this owner.
            QueueError: It has not ended: cancel it first.
        """
        self.keeping.remove(job_id, owner)
        if self.settings.undelete_s <= 0:
            self.keeping.purge(job_id)
            self.folders.empty_trash()

    def restore(self, job_id: str, owner: str | None = None) -> Job:
        """Bring back a job that was removed.

        Raises:
            NoSuchJobError: There is none of this owner, or it is gone for good.
        """
        self.keeping.restore(job_id, owner)
        return self.job(job_id, owner)

    def hold(self, job_id: str, held: bool = True, owner: str | None = None) -> Job:
        """Have a job kept whatever its age and however many there are, or no longer.

        Raises:
            NoSuchJobError: There is none of this owner.
        """
        self.keeping.hold(job_id, owner, held)
        return self.job(job_id, owner)

    def removed(self, owners: Collection[str], limit: int = 100) -> tuple[Job, ...]:
        """Removed jobs that can still be restored, those removed last first."""
        condition = f"removed_at IS NOT NULL AND owner IN ({', '.join('?' * len(owners))})"
        question = f"SELECT * FROM jobs WHERE {condition} ORDER BY removed_at DESC, number DESC LIMIT ?"
        with self.database.reading() as db:
            return tuple(job_from(row) for row in db.execute(question, (*owners, limit)))

    def events(
        self, after: int = 0, owner: str | None = None, job_id: str | None = None, limit: int = 500
    ) -> tuple[Event, ...]:
        """What has changed since event number `after`, in order; see `Event`."""
        question = (
            "SELECT * FROM events WHERE number > :after AND (:owner IS NULL OR owner = :owner) "
            "AND (:job_id IS NULL OR job_id = :job_id) ORDER BY number LIMIT :limit"
        )
        with self.database.reading() as db:
            rows = db.execute(question, {"after": after, "owner": owner, "job_id": job_id, "limit": limit})
            return tuple(
                Event(**{**dict(row), "state": None if row["state"] is None else JobState(row["state"])})
                for row in rows
            )

    def last_event(self) -> int:
        """Number of the latest event of anybody: where to begin to follow."""
        with self.database.reading() as db:
            return int(db.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])

    def listing(
        self, owners: Collection[str], state: JobState | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[tuple[Job, ...], int]:
        """Jobs of several owners, the latest first, and how many there are without limit and offset."""
        condition = f"removed_at IS NULL AND owner IN ({', '.join('?' * len(owners))}) AND (? IS NULL OR state = ?)"
        values = (*owners, state, state)
        with self.database.reading() as db:
            total = db.execute(f"SELECT count(*) FROM jobs WHERE {condition}", values).fetchone()[0]
            question = f"SELECT * FROM jobs WHERE {condition} ORDER BY number DESC LIMIT ? OFFSET ?"
            rows = db.execute(question, (*values, limit, offset)).fetchall()
            return tuple(job_from(row) for row in rows), int(total)

    def ahead(self, job_id: str) -> int:
        """How many jobs are worked off before a queued one, as owners take turns."""
        question = (
            "WITH waiting AS (SELECT id, coalesce(last, 0) AS last, "
            "row_number() OVER (PARTITION BY owner, source ORDER BY number) AS place, "
            "min(number) OVER (PARTITION BY owner, source) AS first "
            "FROM jobs LEFT JOIN turns USING (owner, source) WHERE state = 'queued'), "
            "own AS (SELECT * FROM waiting WHERE id = ?) "
            "SELECT count(*) FROM waiting, own WHERE waiting.place < own.place "
            "OR (waiting.place = own.place AND (waiting.last, waiting.first) < (own.last, own.first))"
        )
        with self.database.reading() as db:
            return int(db.execute(question, (job_id,)).fetchone()[0])

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self.database.reading() as db:
            found = dict(
                db.execute("SELECT state, count(*) FROM jobs WHERE removed_at IS NULL GROUP BY state").fetchall()
            )
        return {state: int(found.get(state, 0)) for state in JobState}
