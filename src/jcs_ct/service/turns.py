"""Turns: how many requests are served at a time, of one user and of all, and who comes next.

Requests that wait are served user by user, round robin: whoever sends a hundred waits for their own ninety-nine, and
nobody else does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from jcs_ct.service.problems import RefusedError


class Turns:
    """Turns of one kind.

    Args:
        most: At a time.
        per_user: Of one user.
        waiting: Requests of one user that may wait; more are refused.
    """

    def __init__(self, most: int, per_user: int, waiting: int) -> None:
        self._most = most
        self._per_user = per_user
        self._waiting_most = waiting
        self._running: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """A turn, for as long as the context lasts.

        Raises:
            RefusedError: Too many requests of this user wait already.
        """
        await self.take(user)
        try:
            yield
        finally:
            self.give_back(user)

    async def take(self, user: str) -> None:
        """Wait for a turn; `give_back` ends it.

        Raises:
            RefusedError: Too many requests of this user wait already.
        """
        if not self._waiting and self._has_room(user):
            self._begin(user)
            return
        queue = self._waiting.setdefault(user, deque())
        if len(queue) >= self._waiting_most:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{len(queue)} of your requests wait already; send more when they have been answered",
                {"Retry-After": "1"},
            )
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        self._call_next()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back(user)
            else:
                self._withdraw(user, mine)
            raise

    def give_back(self, user: str) -> None:
        """A turn is over."""
        left = self._running[user] - 1
        if left:
            self._running[user] = left
        else:
            del self._running[user]
        self._call_next()

    def _has_room(self, user: str) -> bool:
        return sum(self._running.values()) < self._most and self._running.get(user, 0) < self._per_user

    def _begin(self, user: str) -> None:
        self._running[user] = self._running.get(user, 0) + 1

    def _call_next(self) -> None:
        while (user := next((each for each in self._waiting if self._has_room(each)), None)) is not None:
            queue = self._waiting.pop(user)
            following = queue.popleft()
            if queue:
                self._waiting[user] = queue  # to the end: others come first now
            if not following.done():
                self._begin(user)
                following.set_result(None)

    def _withdraw(self, user: str, mine: asyncio.Future[None]) -> None:
        queue = self._waiting.get(user)
        if queue is not None and mine in queue:
            queue.remove(mine)
            if not queue:
                del self._waiting[user]
