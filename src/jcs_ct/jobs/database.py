"""The SQLite file below the queue: opened, checked, and its errors told in our words.

Write-ahead log, and each commit is on the disk before it returns (synchronous = FULL), so that neither a kill nor a
loss of power takes back what was told to somebody. It must lie on a local disk: SQLite's log does not work over NFS.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jcs_ct.errors import QueueError, QueueFullError

APPLICATION_ID = 0x4A435351  # "JCSQ"
VERSION = 1
BUSY_S = 30.0

_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    study TEXT NOT NULL,
    options TEXT NOT NULL,
    key TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'not_assessable', 'failed', 'cancelled')),
    submitted_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    not_before REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    claim TEXT,
    worker TEXT,
    lease_until REAL,
    stage TEXT,
    stage_done INTEGER NOT NULL DEFAULT 0,
    stage_total INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    summary TEXT NOT NULL DEFAULT '{}',
    input_bytes INTEGER NOT NULL,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    CHECK ((state = 'running') = (claim IS NOT NULL))
);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_by_owner ON jobs (owner, number);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    at REAL NOT NULL,
    state TEXT,
    stage TEXT,
    stage_done INTEGER NOT NULL,
    stage_total INTEGER NOT NULL,
    reason TEXT
);
CREATE INDEX events_by_job ON events (job_id);
CREATE TABLE arrivals (id TEXT PRIMARY KEY, bytes INTEGER NOT NULL);
"""


class Database:
    """One connection, for all threads of a process in turn.

    Args:
        path: The file; made where missing. Its folder exists.

    Raises:
        QueueError: The file is damaged, of another program or of a later version, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._explained():
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done inside happens as a whole, alone among all processes, or not at all."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For single statements that only read; never waits for who writes."""
        with self._lock, self._explained():
            yield self._connection

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        self._set_write_ahead()
        self._connection.execute("PRAGMA synchronous = FULL")
        # Each process checks when it opens: seconds for a database far larger than retention lets ours become.
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(found)
        with self.transaction():
            self._create_or_recognise()

    def _set_write_ahead(self) -> None:
        # Changing the mode does not wait for others by itself, as everything else does.
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _create_or_recognise(self) -> None:
        application, version, tables = (
            self._connection.execute(question).fetchone()[0]
            for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if not tables:
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {VERSION}")
        elif application != APPLICATION_ID:
            raise QueueError(f"{self._path} is a database of another program; give a folder of its own to the queue")
        elif version != VERSION:
            raise QueueError(
                f"{self._path} is a queue of version {version}, expected {VERSION}: use the JCS that wrote it, or "
                "start with an empty folder"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # The low byte is the kind; None where the module itself complains, which would be a mistake of ours.
            kind = getattr(error, "sqlite_errorcode", None)
            kind = None if kind is None else kind & 0xFF
            if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise self._damaged(str(error)) from error
            if kind == sqlite3.SQLITE_FULL:
                raise QueueFullError(f"the disk that holds {self._path} is full: free some space") from error
            if kind == sqlite3.SQLITE_BUSY:
                raise QueueError(
                    f"{self._path} was locked for {BUSY_S:g} s: is the disk, or a backup, stuck?"
                ) from error
            if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
                raise QueueError(f"{self._path} cannot be read and written ({error}): check its folder") from error
            raise

    def _damaged(self, found: str) -> QueueError:
        return QueueError(
            f"{self._path} is damaged ({' '.join(found.split())}); expected the database of a queue: put a backup in "
            "its place, or move the whole folder away and start anew. The studies and results in it are not affected"
        )
