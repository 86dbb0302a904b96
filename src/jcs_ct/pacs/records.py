"""What a node must not forget, in one SQLite file: hand-ins, deliveries, and confirmations that peers wait for.

A delivery is one object for one peer. It is `waiting` until the peer has said that it has it, then `sent`; where the
peer is asked to confirm that it keeps it, `asked` and then `committed`. `given_up` is for a person to look at.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jcs_ct.errors import QuotaError
from jcs_ct.jobs.database import Database, Schema
from jcs_ct.pacs.settings import ResultSettings

CONFIRMATIONS = 100
"""That one peer may wait for; more are refused."""
_AT_ONCE = 20

_SCHEMA = Schema(
    holds="a DICOM node",
    version=1,
    tables="""
CREATE TABLE submits (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    study TEXT NOT NULL,
    caller TEXT NOT NULL,
    at REAL NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX submits_by_study ON submits (study, number);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    peer TEXT NOT NULL,
    sop_class TEXT NOT NULL,
    sop_uid TEXT NOT NULL,
    path TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'asked', 'committed', 'given_up')),
    since REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    reason TEXT,
    transaction_uid TEXT,
    UNIQUE (sop_uid, peer)
);
CREATE INDEX deliveries_by_state ON deliveries (state, not_before);
CREATE TABLE confirmations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    transaction_uid TEXT NOT NULL,
    peer TEXT NOT NULL,
    objects TEXT NOT NULL,
    since REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    UNIQUE (transaction_uid, peer)
);
""",
)


@dataclass(frozen=True)
class HandIn:
    """A study that became a job."""

    job_id: str
    study: str
    caller: str


@dataclass(frozen=True)
class Delivery:
    """An object that a peer is to have."""

    number: int
    job_id: str
    peer: str
    sop_class: str
    sop_uid: str
    path: str
    state: str
    since: float
    attempts: int
    not_before: float
    reason: str | None
    transaction_uid: str | None


@dataclass(frozen=True)
class Confirmation:
    """What a peer asked to have confirmed: pairs of SOP Class and Instance UID."""

    number: int
    transaction_uid: str
    peer: str
    objects: tuple[tuple[str, str], ...]
    since: float
    attempts: int


class Records:
    """The file, for all threads of a process, and for several processes.

    Args:
        path: Made where missing.

    Raises:
        QueueError: It is damaged, of a later version, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)
        self._transaction = self._database.transaction

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _select(self, question: str, *values: Any) -> list[sqlite3.Row]:
        with self._database.reading() as db:
            return db.execute(question, values).fetchall()

    # Hand-ins

    def add_submit(self, job_id: str, study: str, caller: str) -> None:
        """A study has become a job; again is the same as once."""
        with self._transaction() as db:
            question = "INSERT OR IGNORE INTO submits (job_id, study, caller, at) VALUES (?, ?, ?, ?)"
            db.execute(question, (job_id, study, caller, time.time()))

    def submits_of(self, study: str) -> tuple[HandIn, ...]:
        """All hand-ins of a study, the latest first."""
        rows = self._select("SELECT * FROM submits WHERE study = ? ORDER BY number DESC", study)
        return tuple(HandIn(row["job_id"], row["study"], row["caller"]) for row in rows)

    def all_submits(self) -> tuple[HandIn, ...]:
        """All that there were."""
        rows = self._select("SELECT * FROM submits ORDER BY number DESC")
        return tuple(HandIn(row["job_id"], row["study"], row["caller"]) for row in rows)

    def unsettled(self) -> tuple[HandIn, ...]:
        """Those whose job had not ended yet, or whose results are not known to go anywhere yet."""
        rows = self._select("SELECT * FROM submits WHERE NOT settled ORDER BY number")
        return tuple(HandIn(row["job_id"], row["study"], row["caller"]) for row in rows)

    def settle(self, job_id: str, objects: Iterable[tuple[str, str, str]], peers: Iterable[str]) -> None:
        """A job has ended: these objects (SOP class, SOP Instance UID, path) are to go to these peers."""
        with self._transaction() as db:
            _add_deliveries(db, job_id, objects, peers)
            db.execute("UPDATE submits SET settled = 1 WHERE job_id = ?", (job_id,))

    def forget(self, job_id: str) -> None:
        """A job was removed."""
        with self._transaction() as db:
            db.execute("DELETE FROM submits WHERE job_id = ?", (job_id,))
            db.execute("DELETE FROM deliveries WHERE job_id = ?", (job_id,))

    # Deliveries

    def send_again(self, job_id: str, objects: Iterable[tuple[str, str, str]], peer: str) -> None:
        """These objects are to go to a peer, whether it has them or not."""
        chosen = tuple(objects)
        with self._transaction() as db:
            _add_deliveries(db, job_id, chosen, (peer,))
            for _, sop_uid, path in chosen:
                db.execute(
                    "UPDATE deliveries SET state = 'waiting', since = ?, attempts = 0, not_before = 0, reason = NULL, "
                    "path = ?, transaction_uid = NULL WHERE sop_uid = ? AND peer = ?",
                    (time.time(), path, sop_uid, peer),
                )

    def due(self, state: str = "waiting", peer: str | None = None) -> tuple[Delivery, ...]:
        """Deliveries in a state whose time has come, in order."""
        question = "SELECT * FROM deliveries WHERE state = ? AND not_before <= ? AND peer = coalesce(?, peer)"
        rows = self._select(f"{question} ORDER BY number", state, time.time(), peer)
        return tuple(Delivery(**dict(row)) for row in rows)

    def deliveries_of(self, job_id: str) -> tuple[Delivery, ...]:
        """All deliveries of a job."""
        rows = self._select("SELECT * FROM deliveries WHERE job_id = ? ORDER BY number", job_id)
        return tuple(Delivery(**dict(row)) for row in rows)

    def change(self, numbers: Iterable[int], **values: Any) -> None:
        """Set columns of deliveries."""
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._transaction() as db:
            for number in numbers:
                db.execute(f"UPDATE deliveries SET {columns} WHERE number = ?", (*values.values(), number))

    def answered(self, transaction_uid: str, peer: str, failed: Mapping[str, str], results: ResultSettings) -> int:
        """A peer has reported on a transaction: what failed (reasons by SOP Instance UID) is sent once more.

        Returns:
            How many objects it is about; none if the transaction is not known, or was answered before.
        """
        with self._transaction() as db:
            question = "SELECT * FROM deliveries WHERE transaction_uid = ? AND peer = ? AND state = 'asked'"
            rows = db.execute(question, (transaction_uid, peer)).fetchall()
            for row in rows:
                reason, again = failed.get(row["sop_uid"]), time.time() + results.pause_s(row["attempts"])
                state = "committed" if reason is None else "waiting"
                if reason is not None and again - row["since"] > results.give_up_s:
                    state = "given_up"
                db.execute(
                    "UPDATE deliveries SET state = ?, reason = ?, not_before = ? WHERE number = ?",
                    (state, reason, again, row["number"]),
                )
        return len(rows)

    # Confirmations that peers asked for

    def add_confirmation(self, transaction_uid: str, peer: str, objects: Iterable[tuple[str, str]]) -> None:
        """A peer wants to know whether these are kept; again is the same as once.

        Raises:
            QuotaError: It waits for too many already.
        """
        with self._transaction() as db:
            waiting = db.execute("SELECT count(*) FROM confirmations WHERE peer = ?", (peer,)).fetchone()[0]
            if waiting >= CONFIRMATIONS:
                raise QuotaError(f"peer {peer} waits for {waiting} confirmations, expected fewer than {CONFIRMATIONS}")
            question = "INSERT OR IGNORE INTO confirmations (transaction_uid, peer, objects, since) VALUES (?, ?, ?, ?)"
            db.execute(question, (transaction_uid, peer, json.dumps(list(objects)), time.time()))

    def due_confirmations(self) -> tuple[Confirmation, ...]:
        """Some of those whose time has come: peers take turns."""
        numbered = "SELECT *, row_number() OVER (PARTITION BY peer ORDER BY number) AS place FROM confirmations"
        question = f"SELECT * FROM ({numbered} WHERE not_before <= ?) ORDER BY place, number LIMIT ?"
        rows = self._select(question, time.time(), _AT_ONCE)
        return tuple(
            Confirmation(
                row["number"],
                row["transaction_uid"],
                row["peer"],
                tuple((sop_class, sop_uid) for sop_class, sop_uid in json.loads(row["objects"])),
                row["since"],
                row["attempts"],
            )
            for row in rows
        )

    def postpone_confirmation(self, number: int, not_before: float) -> None:
        """The peer could not be told; once more later."""
        with self._transaction() as db:
            question = "UPDATE confirmations SET attempts = attempts + 1, not_before = ? WHERE number = ?"
            db.execute(question, (not_before, number))

    def end_confirmation(self, number: int) -> None:
        """The peer was told, or will never be."""
        with self._transaction() as db:
            db.execute("DELETE FROM confirmations WHERE number = ?", (number,))


def _add_deliveries(
    db: sqlite3.Connection, job_id: str, objects: Iterable[tuple[str, str, str]], peers: Iterable[str]
) -> None:
    rows = [(job_id, peer, *one, time.time()) for peer in peers for one in objects]
    question = "INSERT OR IGNORE INTO deliveries (job_id, peer, sop_class, sop_uid, path, since)"
    db.executemany(f"{question} VALUES (?, ?, ?, ?, ?, ?)", rows)
