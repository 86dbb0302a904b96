"""Revisions of a finished job: corrected outlines and sign-offs, each a whole result of its own.

What the worker made is number 0 and never changes. A change names the revision that it was based on, its parent; if
that is not the latest one, somebody else was faster, and it is refused. A revision is made aside, is on the disk, and
is then renamed into its place within one transaction: whatever is killed and when, it is there as a whole or not at
all. `correct` and `sign_off` compute for seconds: doors call them in a process of their own.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jcs_ct.errors import QueueError, RevisionConflictError
from jcs_ct.jobs.folders import PRIVATE, publish, sync, sync_tree
from jcs_ct.jobs.intake import arriving
from jcs_ct.jobs.job import Job
from jcs_ct.jobs.ledger import find, note
from jcs_ct.jobs.queue import JobQueue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jcs_ct.jobs.masks import Masks
    from jcs_ct.study.volume import Study

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


def revisions(queue: JobQueue | Path, job_id: str, owner: str | None = None) -> tuple[Revision, ...]:
    """All revisions of a job, number 0 first.

    Raises:
        NoSuchJobError: There is none of this owner.
        QueueError: The job has no result.
    """
    with _opened(queue) as store, _while_there(store, job_id, owner):
        return _revisions(store, job_id, owner)


def reports_of(queue: JobQueue | Path, job_id: str, number: int | None = None, owner: str | None = None) -> Path:
    """The folder of the reports of a revision, of the latest one if None. What is in it never changes.

    Raises:
        NoSuchJobError: There is no such job of this owner.
        QueueError: The job has no result, or no such revision.
    """
    with _opened(queue) as store:
        return _folder(store, job_id, number, owner) / "reports"


def masks_of(queue: JobQueue | Path, job_id: str, number: int | None = None, owner: str | None = None) -> Masks:
    """The masks of a revision, of the latest one if None, on the voxels of `study_of`.

    Raises:
        NoSuchJobError: There is no such job of this owner.
        QueueError: The job has no result, or no such revision.
    """
    from jcs_ct.jobs.masks import kept_masks

    with _opened(queue) as store:
        return kept_masks(_folder(store, job_id, number, owner))


def study_of(queue: JobQueue | Path, job_id: str, owner: str | None = None) -> Study:
    """The study of a job, read again as the worker read it: the voxels that masks and outlines lie on.

    Raises:
        NoSuchJobError: There is none of this owner.
        InputError: It cannot be read, which it could when the job was done.
    """
    from jcs_ct.study.reader import read_study

    with _opened(queue) as store:
        return read_study(store.study_path(job_id, owner), store.job(job_id, owner).options.series_uid)


def correct(
    queue: JobQueue | Path,
    job_id: str,
    outlines: NDArray[np.bool_],
    by: str,
    parent: int,
    comment: str = "",
    owner: str | None = None,
) -> Revision:
    """Measure corrected outlines and report them; no network runs, and the decision is that of the diagnosis.

    Lungs are those of the diagnosis, so that what was drawn and erased again leaves no trace. A sign-off does not hold
    for the new outlines, and the result says so.

    Args:
        queue: The queue, or the folder of one, opened with the usual settings.
        job_id: The job.
        outlines: (Z, H, W) on the voxels of `study_of`: True in opacities.
        by: User.
        parent: The revision that was corrected.
        comment: Why.
        owner: As everywhere.

    Raises:
        RevisionConflictError: `parent` is not the latest revision.
        NoSuchJobError: There is none of this owner.
        QueueFullError: There is no room for one more result.
        QueueError: The job has no result.
        UsageError: The outlines do not fit the study, or it must not be measured.
    """
    from jcs_ct.jobs.reviewing import write_correction

    with _opened(queue) as store, _draft(store, job_id, owner, parent) as draft:
        made = write_correction(draft, outlines, by, comment)
        return _add(draft, made)


def sign_off(
    queue: JobQueue | Path,
    job_id: str,
    judgement: str,
    by: str,
    comment: str,
    parent: int,
    owner: str | None = None,
) -> Revision:
    """Accept or reject a result; its reports are amended, and nothing is measured again.

    Args:
        queue: The queue, or the folder of one, opened with the usual settings.
        job_id: The job.
        judgement: "accepted" or "rejected".
        by: User.
        comment: Why; may be empty.
        parent: The revision that was looked at.
        owner: As everywhere.

    Raises:
        RevisionConflictError: `parent` is not the latest revision.
        NoSuchJobError: There is none of this owner.
        QueueFullError: There is no room for one more result.
        QueueError: The job has no result.
        UsageError: There is no such judgement, or a name or a comment is not one.
    """
    from jcs_ct.jobs.reviewing import write_sign_off

    with _opened(queue) as store, _draft(store, job_id, owner, parent) as draft:
        made = write_sign_off(draft, judgement, by, comment)
        return _add(draft, made)


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

    def next(self, kind: RevisionKind, by: str, at: datetime, comment: str, **rest: Any) -> Revision:
        """What this becomes."""
        number = self.parent.number
        return Revision(number + 1, number, kind, by, _in_iso(at.timestamp()), comment, **rest)


def settle(queue: JobQueue, db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Tell of a job's latest revision whose process was killed before it did."""
    folders, job_id = queue.folders, row["id"]
    number = _latest_number(folders.revisions(job_id))
    if number > json.loads(row["summary"]).get("revision", 0):
        _tell(queue, db, _stored(folders.revision(job_id, number)), job_id)


@contextmanager
def _opened(queue: JobQueue | Path) -> Iterator[JobQueue]:
    if isinstance(queue, JobQueue):
        yield queue
        return
    with JobQueue(queue) as opened:
        yield opened


@contextmanager
def _while_there(store: JobQueue, job_id: str, owner: str | None) -> Iterator[None]:
    """If something fails because the job was removed meanwhile, that is what is said."""
    try:
        yield
    except Exception:
        store.job(job_id, owner)
        raise


def _revisions(store: JobQueue, job_id: str, owner: str | None) -> tuple[Revision, ...]:
    store.reports_path(job_id, owner)
    job, folder = store.job(job_id, owner), store.folders.revisions(job_id)
    numbers = range(1, _latest_number(folder) + 1)
    made = tuple(_stored(store.folders.revision(job_id, number)) for number in numbers)
    summary = {key: value for key, value in job.summary.items() if key not in ("revision", "signed")}
    if made:
        outcome = json.loads(store.folders.outcome(job_id).read_text(encoding="utf-8"))
        summary = outcome["summary"]
    at = _in_iso(job.finished_at or 0.0)
    return (Revision(0, None, RevisionKind.DIAGNOSIS, None, at, summary=summary), *made)


def _stored(folder: Path) -> Revision:
    fields = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return Revision(**{**fields, "kind": RevisionKind(fields["kind"])})


def _latest_number(folder: Path) -> int:
    return max((int(path.name) for path in folder.iterdir()), default=0) if folder.exists() else 0


def _folder(store: JobQueue, job_id: str, number: int | None, owner: str | None) -> Path:
    with _while_there(store, job_id, owner):
        store.reports_path(job_id, owner)
        latest = _latest_number(store.folders.revisions(job_id))
    if number is not None and not 0 <= number <= latest:
        raise QueueError(f"job {job_id} has no revision {number}; expected one of 0 to {latest}")
    return store.folders.revision(job_id, latest if number is None else number)


@contextmanager
def _draft(store: JobQueue, job_id: str, owner: str | None, parent: int) -> Iterator[Draft]:
    with _while_there(store, job_id, owner):
        history = _revisions(store, job_id, owner)
        _refuse_outdated(job_id, parent, history[-1].number)
        token = uuid.uuid4().hex
        with arriving(store.folders, token) as folder:
            store.ledger.reserve_revision(token)
            try:
                folder.mkdir(mode=PRIVATE)
                yield Draft(store, store.job(job_id, owner), owner, folder, history)
            finally:
                store.ledger.drop_arrival(token)


def _refuse_outdated(job_id: str, parent: int, latest: int) -> None:
    if parent != latest:
        raise RevisionConflictError(
            f"job {job_id} is at revision {latest}, found a change of revision {parent}: look at the latest one, and "
            "make the change again where it is still needed"
        )


def _add(draft: Draft, revision: Revision) -> Revision:
    """Put a revision that is complete into its place."""
    folders, job_id = draft.queue.folders, draft.job.id
    text = json.dumps(asdict(revision), ensure_ascii=False, indent=2)
    (draft.folder / _FILE).write_text(text + "\n", encoding="utf-8")
    sync_tree(draft.folder)
    with draft.queue.database.transaction() as db:
        find(db, job_id, draft.owner)
        place = folders.revisions(job_id)
        _refuse_outdated(job_id, draft.parent.number, _latest_number(place))
        place.mkdir(mode=PRIVATE, exist_ok=True)
        sync(place.parent)
        # A kill between this and the commit leaves a revision that is there and not told of; the sweep does that.
        publish(draft.folder, folders.revision(job_id, revision.number))
        _tell(draft.queue, db, revision, job_id)
    return revision


def _tell(queue: JobQueue, db: sqlite3.Connection, revision: Revision, job_id: str) -> None:
    """Have the worklist show a revision, and those who follow the job look again."""
    told = {**revision.summary, "revision": revision.number, "signed": revision.judgement}
    queue.ledger.record(db, job_id, told)
    note(db, job_id)


def _in_iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
