"""How a revision of a result is made: aside, complete and on the disk, and then renamed into its place.

The renaming and what is told of it are one transaction, in which the parent is looked at again: whatever is killed and
when, a revision is there as a whole or not at all, and of two changes of one parent the second is refused.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from jcs_ct.diagnosis.review import in_iso
from jcs_ct.errors import QueueError, QueueFullError, RevisionConflictError, UsageError
from jcs_ct.jobs.folders import DISK_FULL, PRIVATE, publish, sync, sync_tree
from jcs_ct.jobs.intake import arriving
from jcs_ct.jobs.job import Job
from jcs_ct.jobs.ledger import find, note
from jcs_ct.jobs.queue import JobQueue

_FILE = "revision.json"


class RevisionKind(StrEnum):
    """What made a revision."""

    DIAGNOSIS = "diagnosis"
    """The worker: number 0, and only that."""
    CORRECTION = "correction"
    SIGN_OFF = "sign_off"


@dataclass(frozen=True)
class Revision:
    """One of the results of a job."""

    number: int
    parent: int | None
    """The revision that it was made from; None for number 0."""
    kind: RevisionKind
    by: str | None
    """User; None for number 0."""
    at: str
    """UTC, ISO 8601."""
    comment: str = ""
    judgement: str | None = None
    """Of a sign-off: "accepted" or "rejected"; None where nobody has signed this revision."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """As in `Outcome`, of this revision."""


@dataclass(frozen=True)
class Draft:
    """A revision that is being made."""

    queue: JobQueue
    job: Job
    owner: str | None
    folder: Path
    """Where `reports` and masks are written."""
    history: tuple[Revision, ...]
    """All there is; the last one is the parent."""

    @property
    def parent(self) -> Revision:
        """The revision that is changed."""
        return self.history[-1]

    @property
    def measured(self) -> Revision:
        """The latest revision whose reports nobody has signed: the parent, or what it signs."""
        return next(one for one in reversed(self.history) if one.kind is not RevisionKind.SIGN_OFF)

    @property
    def signed(self) -> Revision | None:
        """The latest sign-off, whether it still holds or not."""
        return next((one for one in reversed(self.history) if one.kind is RevisionKind.SIGN_OFF), None)

    def place(self, revision: Revision) -> Path:
        """The folder of a revision."""
        return self.queue.folders.revision(self.job.id, revision.number)

    def add(self, revision: Revision) -> Revision:
        """Put what is complete into its place.

        Raises:
            RevisionConflictError: Somebody else was faster.
            NoSuchJobError: The job was removed meanwhile.
        """
        folders, job_id = self.queue.folders, self.job.id
        text = json.dumps(asdict(revision), ensure_ascii=False, indent=2)
        (self.folder / _FILE).write_text(text + "\n", encoding="utf-8")
        sync_tree(self.folder)
        with self.queue.database.transaction() as db:
            find(db, job_id, self.owner)
            place = folders.revisions(job_id)
            _refuse_outdated(job_id, self.parent.number, latest_number(place))
            place.mkdir(mode=PRIVATE, exist_ok=True)
            sync(place.parent)
            # A kill between this and the commit leaves a revision that is there and not told of; the sweep does that.
            publish(self.folder, folders.revision(job_id, revision.number))
            _tell(self.queue, db, revision, job_id)
        return revision

    def next(self, kind: RevisionKind, by: str, at: datetime, comment: str, **rest: Any) -> Revision:
        """What this becomes."""
        number = self.parent.number
        return Revision(number + 1, number, kind, by, in_iso(at), comment, **rest)


def settle(queue: JobQueue, db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Tell of a job's latest revision whose process was killed before it did."""
    folders, job_id = queue.folders, row["id"]
    number = latest_number(folders.revisions(job_id))
    if number > json.loads(row["summary"]).get("revision", 0):
        _tell(queue, db, _stored(folders.revision(job_id, number)), job_id)


@contextmanager
def while_there(store: JobQueue, job_id: str, owner: str | None) -> Iterator[None]:
    """If something fails because the job was removed meanwhile, that is what is said."""
    try:
        yield
    except Exception:
        store.job(job_id, owner)
        raise


def history_of(store: JobQueue, job_id: str, owner: str | None) -> tuple[Revision, ...]:
    """All revisions of a job, number 0 first."""
    store.reports_path(job_id, owner)
    job, folders = store.job(job_id, owner), store.folders
    numbers = range(1, latest_number(folders.revisions(job_id)) + 1)
    outcome = json.loads(folders.outcome(job_id).read_text(encoding="utf-8"))
    at = in_iso(datetime.fromtimestamp(job.finished_at or 0.0, UTC))
    first = Revision(0, None, RevisionKind.DIAGNOSIS, None, at, summary=outcome["summary"])
    return (first, *(_stored(folders.revision(job_id, number)) for number in numbers))


def _stored(folder: Path) -> Revision:
    fields = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return Revision(**{**fields, "kind": RevisionKind(fields["kind"])})


def latest_number(folder: Path) -> int:
    """Of the revisions in a folder; 0 where nobody changed the result."""
    return max((int(path.name) for path in folder.iterdir()), default=0) if folder.exists() else 0


@contextmanager
def drafting(store: JobQueue, job_id: str, owner: str | None, parent: int) -> Iterator[Draft]:
    """A place for a revision of the latest one, which must be `parent`; what is not added in the end is removed.

    Raises:
        RevisionConflictError: `parent` is not the latest revision.
        NoSuchJobError: There is no such job of this owner.
        QueueFullError: There is no room for one more result.
        QueueError: The job has no result.
    """
    with while_there(store, job_id, owner):
        history = history_of(store, job_id, owner)
        _refuse_outdated(job_id, parent, history[-1].number)
        token = uuid.uuid4().hex
        with arriving(store.folders, token) as folder:
            store.ledger.reserve_revision(token, job_id)
            try:
                folder.mkdir(mode=PRIVATE)
                yield Draft(store, store.job(job_id, owner), owner, folder, history)
            except (OSError, UsageError) as error:
                if getattr(error.__cause__ or error, "errno", None) in DISK_FULL:
                    raise QueueFullError("the queue's disk is full: free some space, or remove ended jobs") from error
                raise
            finally:
                with contextlib.suppress(QueueError):  # the sweep does it later
                    store.ledger.drop_arrival(token)


def _refuse_outdated(job_id: str, parent: int, latest: int) -> None:
    if parent != latest:
        raise RevisionConflictError(
            f"job {job_id} is at revision {latest}, found a change of revision {parent}: look at the latest one, and "
            "make the change again where it is still needed"
        )


def _tell(queue: JobQueue, db: sqlite3.Connection, revision: Revision, job_id: str) -> None:
    """Have the worklist show a revision, and those who follow the job look again."""
    told = {**revision.summary, "revision": revision.number, "signed": revision.judgement}
    queue.ledger.record(db, job_id, told)
    note(db, job_id)
