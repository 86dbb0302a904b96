"""Whether there is room for one more study: in the queue, in the store, on the disk, and in its owner's share.

Owners have limits of their own, and so has each peer of a DICOM node: whoever submits a thousand studies fills their
own share, and the others do not notice.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from jcs_ct.errors import QueueFullError, QuotaError
from jcs_ct.jobs.folders import Folders
from jcs_ct.jobs.job import UNFINISHED
from jcs_ct.jobs.settings import GIB, QueueSettings

_UNFINISHED = "({})".format(", ".join(f"'{state}'" for state in UNFINISHED))
_LEAST_RESERVE = 1024**2
_RESERVE_FACTOR = 8
"""A result takes at most so many times the bytes of its study, as far as room is set aside for it."""


@dataclass(frozen=True)
class Owner:
    """Whose limits count."""

    name: str = ""
    source: str = ""
    """The peer of a DICOM node, whose studies all have one owner."""


class Room:
    """The limits of one store."""

    def __init__(self, folders: Folders, settings: QueueSettings) -> None:
        self._folders = folders
        self._settings = settings

    def reserve_for_result(self, size: int) -> int:
        """Bytes to set aside for the result of a study of `size` bytes."""
        return min(self._settings.result_reserve_bytes, _LEAST_RESERVE + _RESERVE_FACTOR * size)

    def refuse_too_many(self, db: sqlite3.Connection, owner: Owner) -> None:
        """See that the queue takes one more study of an owner.

        Raises:
            QuotaError: The owner has too many waiting.
            QueueFullError: The queue is full.
        """
        waiting, limit = self._waiting(db), self._settings.max_waiting
        if waiting >= limit:
            raise QueueFullError(
                f"the queue is full: {waiting} studies wait, expected fewer than {limit}: try again later"
            )
        own, limit = self._waiting(db, owner), self._settings.max_waiting_per_owner
        if own >= limit:
            raise QuotaError(
                f"{own} of your studies wait, expected fewer than {limit}: submit more when some of them have ended"
            )

    def refuse_too_much(self, db: sqlite3.Connection, size: int, what: str, owner: Owner) -> None:
        """See that so many bytes more fit.

        Raises:
            QuotaError: They pass the owner's share.
            QueueFullError: They pass a limit of the store or of the disk.
        """
        limits = self._settings
        stored, promised = self.stored(db), self._promised(db) + size
        if stored + promised > limits.max_store_bytes:
            raise QueueFullError(
                f"the queue's store is full: with {what} it would hold up to {(stored + promised) / GIB:.2f} GiB, "
                f"expected at most {limits.max_store_bytes / GIB:.2f}: remove ended jobs, or raise max_store_bytes"
            )
        free = self._folders.free_bytes()
        left = free - promised
        if left < limits.min_free_bytes:
            raise QueueFullError(
                f"the queue's disk is nearly full: with {what} {max(left, 0) / GIB:.2f} GiB would be left, "
                f"expected at least {limits.min_free_bytes / GIB:.2f}: free some space, or remove ended jobs"
            )
        capacity = min(limits.max_store_bytes, stored + free - limits.min_free_bytes)
        own, share = self.used_by(db, owner) + size, limits.owner_share * capacity
        if own > share:
            raise QuotaError(
                f"with {what} your studies would take up to {own / GIB:.2f} GiB, expected at most {share / GIB:.2f}, "
                "your share of the store: remove ended jobs"
            )

    def used_by(self, db: sqlite3.Connection, owner: Owner) -> int:
        """Bytes that an owner has, or was promised."""
        return self.stored(db, owner) + self._promised(db, owner)

    def _waiting(self, db: sqlite3.Connection, owner: Owner | None = None) -> int:
        """Studies without a result, those that arrive among them; a revision that is being made counts as one, too."""
        whose, values = _of(owner)
        waiting = db.execute(f"SELECT count(*) FROM jobs WHERE state IN {_UNFINISHED} {whose}", values).fetchone()[0]
        arriving = db.execute(f"SELECT count(*) FROM arrivals WHERE true {whose}", values).fetchone()[0]
        return int(waiting + arriving)

    def stored(self, db: sqlite3.Connection, owner: Owner | None = None) -> int:
        """Bytes of the studies and results of an owner, or of all."""
        whose, values = _of(owner)
        question = f"SELECT coalesce(sum(input_bytes + result_bytes), 0) FROM jobs WHERE true {whose}"
        return int(db.execute(question, values).fetchone()[0])

    def _promised(self, db: sqlite3.Connection, owner: Owner | None = None) -> int:
        # What arrives may be on the disk in part; counting it whole errs on the safe side.
        whose, values = _of(owner)
        reserve = f"min({self._settings.result_reserve_bytes}, {_LEAST_RESERVE} + {_RESERVE_FACTOR} * "
        arriving = f"SELECT coalesce(sum(bytes + {reserve} bytes)), 0) FROM arrivals WHERE true {whose}"
        waiting = f"SELECT coalesce(sum({reserve} input_bytes)), 0) FROM jobs WHERE state IN {_UNFINISHED} {whose}"
        return int(db.execute(arriving, values).fetchone()[0] + db.execute(waiting, values).fetchone()[0])


def _of(owner: Owner | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if owner is None else ("AND owner = ? AND source = ?", (owner.name, owner.source))
