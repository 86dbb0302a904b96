"""Every change of a job's state, each as one transaction. Only who holds the claim on a running job may finish it.

    queued ──claim──► running ──finish──► done | not_assessable
       ▲                 │ ├──fail, recover──► failed
       └──give_back──────┘ └──cancel──► cancelled

A claim is a random token with a lease. When the lease runs out, the job is cancelled or its time is up, the token is
worthless: a worker that was only slow can neither finish the job nor overwrite what another one has made of it.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from jcs_ct.errors import NoSuchJobError, QueueError
from jcs_ct.jobs import bounded
from jcs_ct.jobs.clock import tick
from jcs_ct.jobs.database import Database
from jcs_ct.jobs.folders import ONE, Folders, publish, sync
from jcs_ct.jobs.job import Job, JobOptions, JobState, Outcome
from jcs_ct.jobs.room import Owner, Room
from jcs_ct.jobs.settings import QueueSettings


class Loss(StrEnum):
    """Why an attempt ended before its time, which decides what it is counted as."""

    ATTEMPT = "attempt"
    """The job may be the cause: its worker died, ran out of memory, or found the disk full."""
    INTERRUPTION = "interruption"
    """Nobody was left to tell."""
    STOP = "stop"
    """The service was stopped in good order: counted as nothing."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job."""

    token: str
    job: Job
    study: Path


@dataclass(frozen=True)
class Arrival:
    """A study that is about to become a job."""

    job_id: str
    owner: str
    name: str
    study: str
    """Its file below the input; empty where the input is the study."""
    options: JobOptions
    key: str | None
    source: str = ""
    upload: str = ""


@dataclass(frozen=True)
class Part:
    """One of several studies that were handed in as one."""

    arrival: Arrival
    folder: Path
    """Where it lies, on the disk of the store."""
    size: int
    """Bytes."""


class Ledger:
    """The states of all jobs of one store."""

    def __init__(self, database: Database, folders: Folders, settings: QueueSettings) -> None:
        self._database = database
        self._folders = folders
        self._settings = settings
        self.room = Room(folders, settings)

    # Handing in

    def reserve(self, job_id: str, size: int, owner: Owner = Owner()) -> None:  # noqa: B008  (it never changes)
        """Keep room for a study that is about to be copied into the store.

        Raises:
            QueueFullError: It would pass a limit; the message says which.
        """
        with self._database.transaction() as db:
            self.room.refuse_too_many(db, owner)
            self.room.refuse_too_much(db, size + self.room.reserve_for_result(size), "this study", owner)
            _expect(db, job_id, size, owner)

    def reserve_revision(self, draft: str, job_id: str) -> None:
        """Keep room for a revision of a result; `drop_arrival` gives it back.

        Raises:
            QueueFullError: It would pass a limit; the message says which.
        """
        size = self._settings.result_reserve_bytes
        with self._database.transaction() as db:
            row = db.execute("SELECT owner, source FROM jobs WHERE id = ?", (job_id,)).fetchone()
            owner = Owner() if row is None else Owner(row["owner"], row["source"])
            self.room.refuse_too_much(db, size, "this revision", owner)
            _expect(db, draft, size, owner)

    def known(self, owner: str, key: str) -> str | None:
        """The job that was handed in under a key."""
        with self._database.reading() as db:
            row = db.execute("SELECT id FROM jobs WHERE owner = ? AND key = ?", (owner, key)).fetchone()
            return None if row is None else str(row["id"])

    def admit(self, arrival: Arrival, size: int) -> str:
        """Make a job of a study that lies in `incoming`, complete and on the disk.

        Returns:
            Its id; that of the job which is there already, if there is one of this key.
        """
        job_id = arrival.job_id
        with self._database.transaction() as db:
            db.execute("DELETE FROM arrivals WHERE id = ?", (job_id,))
            if arrival.key is not None and (there := self.known(arrival.owner, arrival.key)) is not None:
                return there
            self._insert(db, arrival, size)
        return job_id

    def _insert(self, db: sqlite3.Connection, arrival: Arrival, size: int) -> None:
        db.execute(
            "INSERT INTO jobs (id, owner, source, name, study, key, options, state, submitted_at, input_bytes, upload) "
            "VALUES (:job_id, :owner, :source, :name, :study, :key, :options, 'queued', :now, :size, :upload)",
            {**vars(arrival), "options": arrival.options.as_json(), "now": time.time(), "size": size},
        )
        note(db, arrival.job_id)
        # Last: a kill before the commit leaves a folder without a row, which the sweep removes.
        publish(self._folders.incoming / arrival.job_id, self._folders.job(arrival.job_id))

    def drop_arrival(self, job_id: str) -> None:
        """Give back the room of a study that did not arrive."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM arrivals WHERE id = ?", (job_id,))

    # Working off

    def claim(self, worker: str) -> Claim | None:
        """Take the next job, if there is one: owners and peers take turns, and each one's jobs go in order."""
        if not self._anything_to_do():
            return None
        now, token = time.time(), uuid.uuid4().hex
        with self._database.transaction() as db:
            row = db.execute(
                "UPDATE jobs SET state = 'running', claim = ?, worker = ?, lease_until = ?, started_at = ?, "
                "attempts = attempts + 1, stage = NULL, stage_done = 0, stage_total = 0, reason = NULL WHERE number = "
                "(SELECT number FROM jobs LEFT JOIN turns USING (owner, source) WHERE state = 'queued' "
                "AND not_before <= ? ORDER BY coalesce(last, 0), number LIMIT 1) RETURNING *",
                (token, worker, now + self._settings.lease_s, now, now),
            ).fetchone()
            if row is None:
                return None
            turn = "INSERT OR REPLACE INTO turns VALUES (?, ?, (SELECT 1 + coalesce(max(last), 0) FROM turns))"
            db.execute(turn, (row["owner"], row["source"]))
            note(db, row["id"])
        return Claim(token, job_from(row), self._folders.study(row["id"], row["study"]))

    def _anything_to_do(self) -> bool:
        # Looked up first without a lock, so that idle workers do not keep writers waiting.
        with self._database.reading() as db:
            question = "SELECT 1 FROM jobs WHERE state = 'queued' AND not_before <= ? LIMIT 1"
            return db.execute(question, (time.time(),)).fetchone() is not None

    def heartbeat(self, token: str) -> bool:
        """Prolong a claim; False where it is lost."""
        with self._database.transaction() as db:
            lease = time.time() + self._settings.lease_s
            return db.execute("UPDATE jobs SET lease_until = ? WHERE claim = ?", (lease, token)).rowcount == 1

    def progress(self, token: str, stage: str, done: int, total: int) -> bool:
        """Tell how far a job is; False where the claim is lost."""
        with self._database.transaction() as db:
            row = db.execute(
                "UPDATE jobs SET stage = ?, stage_done = ?, stage_total = ?, lease_until = ? WHERE claim = ? "
                "RETURNING id",
                (bounded.stage(stage), done, total, time.time() + self._settings.lease_s, token),
            ).fetchone()
            if row is not None:
                note(db, row["id"])
            return row is not None

    def finish(self, token: str) -> bool:
        """Put a finished attempt into its place and end the job; False where the claim is lost.

        The attempt holds `outcome.json` and is on the disk. It is renamed while no other process can change the job, so
        nobody's result replaces another's; killed after that, the job is finished by whoever finds it.
        """
        with self._database.transaction() as db:
            row = _held(db, token)
            if row is None:
                return False
            publish(self._folders.attempt(row["id"], token), self._folders.result(row["id"]))
            if not self._conclude(db, row):
                raise QueueError(
                    f"{self._folders.outcome(row['id'])} is missing or damaged; expected a finished attempt"
                )
            return True

    def fail(self, token: str, reason: str) -> bool:
        """End a job that no other attempt would help; False where the claim is lost."""
        with self._database.transaction() as db:
            row = _held(db, token)
            if row is not None:
                _end(db, row["id"], JobState.FAILED, reason)
            return row is not None

    def part(self, token: str, kept: Part, others: Sequence[Part]) -> bool:
        """Make a job of each study of a job that holds several: of all of them, or of none.

        The job itself waits again, with the one that it keeps; those of the others are new, and lie in `incoming`.

        Returns:
            False where the claim is lost.
        """
        with self._database.transaction() as db:
            row = _held(db, token)
            if row is None:
                return False
            for each in others:
                db.execute("DELETE FROM arrivals WHERE id = ?", (each.arrival.job_id,))
                self._insert(db, each.arrival, each.size)
            # Beside what was handed in, which is read again if a kill comes before the commit, and goes afterwards.
            place = self._folders.study(row["id"], ONE)
            self._folders.set_aside(place)
            publish(kept.folder, place)
            db.execute(
                "UPDATE jobs SET study = ?, name = ?, input_bytes = ?, upload = id, state = 'queued', claim = NULL, "
                "worker = NULL, lease_until = NULL, attempts = attempts - 1, stage = NULL, stage_done = 0, "
                "stage_total = 0 WHERE id = ?",
                (ONE, kept.arrival.name, kept.size, row["id"]),
            )
            note(db, row["id"])
            return True

    def give_back(self, worker: str, loss: Loss, reason: str) -> None:
        """Let another attempt have the job that a worker holds, if it holds one."""
        with self._database.transaction() as db:
            for row in db.execute("SELECT * FROM jobs WHERE state = 'running' AND worker = ?", (worker,)).fetchall():
                self._let_go(db, row, loss, reason)

    def recover(self) -> list[str]:
        """Take jobs from workers that give no sign of life or take too long.

        Returns:
            The jobs.
        """
        now = time.time()
        too_late = now - self._settings.time_limit_s
        question = "SELECT * FROM jobs WHERE state = 'running' AND (lease_until < ? OR started_at < ?)"
        with self._database.transaction() as db:
            rows = db.execute(question, (now, too_late)).fetchall()
            for row in rows:
                if row["lease_until"] < now:
                    self._let_go(db, row, Loss.INTERRUPTION, "the worker gave no more sign of life")
                elif not self._conclude(db, row):
                    limit = f"took longer than {self._settings.time_limit_s:g} s, the limit for one study"
                    _end(db, row["id"], JobState.FAILED, limit)
            return [row["id"] for row in rows]

    def _let_go(self, db: sqlite3.Connection, row: sqlite3.Row, loss: Loss, reason: str) -> None:
        if self._conclude(db, row):
            return
        attempts, interruptions = row["attempts"], row["interruptions"]
        if loss is not Loss.ATTEMPT:
            attempts -= 1
        if loss is Loss.INTERRUPTION:
            interruptions += 1
        db.execute("UPDATE jobs SET attempts = ?, interruptions = ? WHERE id = ?", (attempts, interruptions, row["id"]))
        if attempts >= self._settings.max_attempts or interruptions >= self._settings.max_interruptions:
            times = row["attempts"] + row["interruptions"]
            _end(db, row["id"], JobState.FAILED, f"{reason}; given up after {times} attempts")
            return
        delay = self._settings.retry_delay_s * 2 ** max(0, attempts - 1) if loss is Loss.ATTEMPT else 0.0
        db.execute(
            "UPDATE jobs SET state = 'queued', claim = NULL, worker = NULL, lease_until = NULL, "
            "not_before = ?, reason = ?, stage = NULL, stage_done = 0, stage_total = 0 WHERE id = ?",
            (time.time() + delay, None if loss is Loss.STOP else bounded.reason(reason), row["id"]),
        )
        note(db, row["id"])

    def _conclude(self, db: sqlite3.Connection, row: sqlite3.Row) -> bool:
        """End a job whose result lies in its place, whoever put it there."""
        path = self._folders.outcome(row["id"])
        try:
            outcome = Outcome.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):
            self._folders.set_aside(self._folders.result(row["id"]))
            return False
        # Whoever put it there may have been killed between the renaming and this.
        sync(self._folders.job(row["id"]))
        self.record(db, row["id"], outcome.summary)
        _end(db, row["id"], outcome.state, outcome.reason)
        return True

    # From outside

    def record(self, db: sqlite3.Connection, job_id: str, summary: Mapping[str, Any]) -> None:
        """Keep what a worklist shows of a result, and count what the result takes on the disk."""
        size = self._folders.result_bytes(job_id)
        db.execute(
            "UPDATE jobs SET summary = ?, result_bytes = ?, signed = max(signed, ?) WHERE id = ?",
            (bounded.summary(summary), size, summary.get("signed") is not None, job_id),
        )

    def recount(self, job_id: str) -> None:
        """Count a job's files again, after something was added to its folder or taken out of it."""
        with self._database.transaction() as db:
            size = self._folders.result_bytes(job_id)
            db.execute("UPDATE jobs SET result_bytes = ? WHERE id = ?", (size, job_id))

    def cancel(self, job_id: str, owner: str | None) -> None:
        """End a job that has not ended; nothing happens to one that has.

        Raises:
            NoSuchJobError: There is none of this owner.
        """
        with self._database.transaction() as db:
            row = find(db, job_id, owner)
            if not JobState(row["state"]).ended:
                _end(db, job_id, JobState.CANCELLED, None)


def find(db: sqlite3.Connection, job_id: str, owner: str | None, *, removed: bool = False) -> sqlite3.Row:
    """The row of a job, or of a removed one; any owner's where `owner` is None."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or owner not in (None, row["owner"]) or (row["removed_at"] is not None) != removed:
        raise NoSuchJobError(f"there is no job {job_id!r}; it may have been removed: list the jobs")
    return row


def job_from(row: sqlite3.Row) -> Job:
    """A row of the database as others see it."""
    return Job(
        id=row["id"],
        owner=row["owner"],
        name=row["name"],
        options=JobOptions.from_json(row["options"]),
        state=JobState(row["state"]),
        submitted_at=row["submitted_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        attempts=row["attempts"],
        interruptions=row["interruptions"],
        stage=row["stage"],
        stage_done=row["stage_done"],
        stage_total=row["stage_total"],
        reason=row["reason"],
        summary=json.loads(row["summary"]),
        input_bytes=row["input_bytes"],
        result_bytes=row["result_bytes"],
        source=row["source"],
        held=bool(row["held"]),
        upload=row["upload"],
    )


def _expect(db: sqlite3.Connection, arrival: str, size: int, owner: Owner) -> None:
    values = (arrival, size, owner.name, owner.source)
    db.execute("INSERT INTO arrivals (id, bytes, owner, source) VALUES (?, ?, ?, ?)", values)


def _held(db: sqlite3.Connection, token: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute("SELECT * FROM jobs WHERE claim = ?", (token,)).fetchone()
    return row


def _end(db: sqlite3.Connection, job_id: str, state: JobState, reason: str | None) -> None:
    db.execute(
        "UPDATE jobs SET state = ?, reason = ?, finished_at = ?, kept_since = ?, claim = NULL, worker = NULL, "
        "lease_until = NULL WHERE id = ?",
        (state, bounded.reason(reason), time.time(), tick(db), job_id),
    )
    note(db, job_id)


def note(db: sqlite3.Connection, job_id: str) -> None:
    """Tell of a job as it now is; see `Event` for what is no longer told."""
    same = "job_id = :id AND (state, stage) IS (SELECT state, stage FROM jobs WHERE id = :id)"
    db.execute(f"DELETE FROM events WHERE {same}", {"id": job_id})
    db.execute(
        "INSERT INTO events (job_id, owner, at, state, stage, stage_done, stage_total, reason) "
        "SELECT id, owner, ?, state, stage, stage_done, stage_total, reason FROM jobs WHERE id = ?",
        (time.time(), job_id),
    )
