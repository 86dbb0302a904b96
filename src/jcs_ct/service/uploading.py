"""Whether one more upload may arrive, and whether one that arrives still fits: for each user, and for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from anyio.to_thread import run_sync

from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.room import Owner
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.settings import ServiceSettings

_LOOK_EVERY = 8 * 1024**2
"""Bytes between two looks at the disk."""


class Uploading:
    """The uploads that arrive now.

    Args:
        queue: That the studies are for.
        settings: Of the service.
    """

    def __init__(self, queue: JobQueue, settings: ServiceSettings) -> None:
        self._queue = queue
        self._settings = settings
        self._arriving: dict[str, int] = {}

    @contextmanager
    def one_more(self, user: str) -> Iterator[None]:
        """An upload of a user, for as long as the context lasts.

        Raises:
            RefusedError: There are too many of this user, or of all.
        """
        own, all_of_them = self._arriving.get(user, 0), sum(self._arriving.values())
        if own >= self._settings.max_uploads_per_user:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{own} of your uploads arrive now, which is the limit: try again when one has ended",
                {"Retry-After": "5"},
            )
        if all_of_them >= self._settings.max_uploads:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{all_of_them} uploads arrive now, which is the limit: try again in a moment",
                {"Retry-After": "5"},
            )
        self._arriving[user] = own + 1
        try:
            yield
        finally:
            self._arriving[user] -= 1
            if not self._arriving[user]:
                del self._arriving[user]

    async def measured(self, user: str, sent: AsyncIterator[bytes], waiting: int = 0) -> AsyncIterator[bytes]:
        """What is sent, as long as there is room: a body need not say how much it will be.

        Args:
            user: Whose it is.
            sent: The body.
            waiting: Bytes of further uploads of this user that are on the disk.

        Raises:
            RefusedError: The disk is nearly full, or the user's share of it.
        """
        size, next_look = 0, 0
        async for chunk in sent:
            size += len(chunk)
            if size >= next_look:
                next_look = size + _LOOK_EVERY
                await run_sync(self.refuse_without_room, user, 0, size + waiting)
            yield chunk

    def refuse_without_room(self, user: str, coming: int, waiting: int = 0) -> None:
        """See that so many bytes fit onto the disk; the queue looks again when they are there.

        Args:
            user: Whose they are.
            coming: Bytes that are still to come.
            waiting: Bytes that are on the disk already, and are no study yet.

        Raises:
            RefusedError: They do not fit.
        """
        limits, folders = self._queue.settings, self._queue.folders
        free = folders.free_bytes()
        if free - coming < limits.min_free_bytes:
            raise RefusedError(
                HTTPStatus.INSUFFICIENT_STORAGE, "the disk is nearly full: delete studies that are not needed any more"
            )
        with self._queue.database.reading() as db:
            own = self._queue.ledger.room.used_by(db, Owner(user)) + coming + waiting
            stored = self._queue.ledger.room.stored(db) + waiting
        share = limits.owner_share * min(limits.max_store_bytes, stored + free - limits.min_free_bytes)
        if own > share:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "your studies and uploads fill your share of the disk: delete those that are not needed any more",
                {"Retry-After": "60"},
            )
