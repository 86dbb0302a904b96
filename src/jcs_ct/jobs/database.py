"""An SQLite file that several processes share: opened, checked, and its errors explained.

The journal is a write-ahead log, and each commit is on the disk before it returns (synchronous = FULL), so that neither
a kill nor a loss of power takes back what somebody was told. The file must lie on a local disk: SQLite's log does not
work over NFS.

Writers take turns at one connection. Readers have connections of their own, so a writer that waits for another process
never holds up a read.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jcs_ct.errors import QueueError, QueueFullError

BUSY_S = 30.0
"""How long a writer waits for others."""
_KEPT_READERS = 8


@dataclass(frozen=True)
class Schema:
    """What a database holds.

    `migrations[n]` leads from version n to n + 1; those of a new file are none, as `tables` is the latest version.
    """

    holds: str
    """In messages, such as "a queue"."""
    version: int
    tables: str
    """SQL statements, separated by semicolons."""
    application_id: int = 0
    """Tells the file from those of other programs; 0 where that was never written down."""
    migrations: Mapping[int, str] = field(default_factory=dict)


class Database:
    """The file, for all threads of a process.

    Args:
        path: The file; made where missing. Its folder exists.
        schema: What it holds.
        busy_s: How long a writer waits for others.

    Raises:
        QueueError: The file is damaged, of another program or of a later version, or cannot be opened.
    """

    def __init__(self, path: Path, schema: Schema, busy_s: float = BUSY_S) -> None:
        self._path = path
        self._schema = schema
        self._busy_s = busy_s
        self._turn = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._own = threading.local()
        self._closed = False
        with self._explained():
            self._writer = self._connect()
            try:
                self._prepare()
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        with self._turn, self._readers_lock:
            self._closed = True
            for connection in (self._writer, *self._readers):
                connection.close()
            self._readers.clear()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done inside happens as a whole, alone among all processes, or not at all."""
        with self._my_turn(), self._explained():
            self._writer.execute("BEGIN IMMEDIATE")
            self._own.writing = True
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._own.writing = False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For statements that only read. It never waits for a writer; inside a transaction it sees what that wrote."""
        if getattr(self._own, "writing", False):
            yield self._writer
            return
        with self._explained():
            connection = self._reader()
            try:
                yield connection
            finally:
                self._put_back(connection)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        # Not for ever: the threads of a service must not pile up behind a stuck disk.
        if not self._turn.acquire(timeout=self._busy_s):
            raise self._locked()
        try:
            yield
        finally:
            self._turn.release()

    def _reader(self) -> sqlite3.Connection:
        with self._readers_lock:
            if self._closed:
                raise QueueError(f"{self._path} was closed; open it again")
            if self._readers:
                return self._readers.pop()
        return self._connect()

    def _put_back(self, connection: sqlite3.Connection) -> None:
        with self._readers_lock:
            if not self._closed and len(self._readers) < _KEPT_READERS:
                self._readers.append(connection)
                return
        connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        return connection

    def _prepare(self) -> None:
        self._set_write_ahead()
        self._writer.execute("PRAGMA synchronous = FULL")
        # Each process checks when it opens: seconds for a database far larger than retention lets ours become.
        found = self._writer.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(found)
        with self.transaction():
            self._create_or_recognise()

    def _set_write_ahead(self) -> None:
        # Changing the mode does not wait for others by itself, as everything else does.
        deadline = time.monotonic() + self._busy_s
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _create_or_recognise(self) -> None:
        schema = self._schema
        application, version, tables = (
            self._writer.execute(question).fetchone()[0]
            for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if not tables:
            self._run(schema.tables)
            self._writer.execute(f"PRAGMA application_id = {schema.application_id}")
            self._writer.execute(f"PRAGMA user_version = {schema.version}")
            return
        if application != schema.application_id:
            raise QueueError(
                f"{self._path} is a database of another program; expected that of {schema.holds}: give it a folder of "
                "its own"
            )
        while version in schema.migrations:
            self._run(schema.migrations[version])
            version += 1
            self._writer.execute(f"PRAGMA user_version = {version}")
        if version != schema.version:
            raise QueueError(
                f"{self._path} is {schema.holds} of version {version}, expected {schema.version}: use the JCS that "
                "wrote it, or start with an empty folder"
            )

    def _run(self, statements: str) -> None:
        for statement in statements.split(";\n"):
            self._writer.execute(statement)

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
                raise self._locked() from error
            if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
                raise QueueError(f"{self._path} cannot be read and written ({error}): check its folder") from error
            raise

    def _locked(self) -> QueueError:
        return QueueError(f"{self._path} was locked for {self._busy_s:g} s: is the disk, or a backup, stuck?")

    def _damaged(self, found: str) -> QueueError:
        return QueueError(
            f"{self._path} is damaged ({' '.join(found.split())}); expected the database of {self._schema.holds}: put "
            "a backup in its place, or move the whole folder away and start anew. The studies and results in it are "
            "not affected"
        )
