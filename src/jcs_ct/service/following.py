"""Changes of jobs, told to browsers as they happen: server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool

from jcs_ct.errors import NoSuchJobError, QueueError
from jcs_ct.jobs.job import Event
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.service.audit import ServiceAudit
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.worklist import described, sees

_RETRY_MS = 2000
_AT_ONCE = 500

log = logging.getLogger("jcs_ct.service")


@dataclass
class Reader:
    """Who follows a stream."""

    user: str
    address: str
    welcome: Callable[[], bool]
    """Whether they are still logged in; asked again and again."""
    told: set[str] = field(default_factory=set)
    """The jobs that they were told of."""


class Follower:
    """Looks for changes once for all who follow.

    Args:
        queue: Whose changes.
        poll_s: How often.
        heartbeat_s: Between two comments where nothing happens.
        most: Streams of one user at a time.
        audit: Where it is written down whom which job was told to.
    """

    def __init__(self, queue: JobQueue, poll_s: float, heartbeat_s: float, most: int, audit: ServiceAudit) -> None:
        self._most = most
        self._audit = audit
        self._streams: dict[str, int] = {}
        self._queue = queue
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._latest = queue.last_event()
        self._changed = asyncio.Condition()
        self._stopping = False

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                latest = await run_in_threadpool(self._queue.last_event)
            except QueueError as error:
                log.error("events: %s", error)
                continue
            if latest != self._latest:
                self._latest = latest
                await self._wake()

    async def stop(self) -> None:
        """End all streams: a server that stops waits for them."""
        self._stopping = True
        await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def stream(self, reader: Reader, after: int | None, job_id: str | None) -> AsyncIterator[bytes]:
        """The text of a stream of events.

        Args:
            reader: Who follows: told of what they may see.
            after: The event that was seen last; from now on if None.
            job_id: Of this job only.

        Raises:
            RefusedError: They follow too many already.
        """
        if self._streams.get(reader.user, 0) >= self._most:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._most} streams of events are open, which is the limit: close some",
                {"Retry-After": "10"},
            )
        return self._counted(reader, self._events(reader, after, job_id))

    async def _counted(self, reader: Reader, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._streams[reader.user] = self._streams.get(reader.user, 0) + 1
        try:
            async for text in stream:
                yield text
        finally:
            self._streams[reader.user] -= 1
            if not self._streams[reader.user]:
                del self._streams[reader.user]

    async def _events(self, reader: Reader, after: int | None, job_id: str | None) -> AsyncIterator[bytes]:
        # A number that is still to come is of another store, or made up.
        seen = self._latest if after is None else min(after, self._latest)
        yield f"retry: {_RETRY_MS}\n\n".encode()
        while not self._stopping and reader.welcome():
            known = self._latest
            events = await run_in_threadpool(self._queue.events, seen, None, job_id, _AT_ONCE)
            # What is not among them is of other jobs, unless there are more.
            seen = events[-1].number if len(events) == _AT_ONCE else max(known, seen, *(e.number for e in events))
            for event in events:
                if sees(reader.user, event.owner):
                    text = await run_in_threadpool(self._told, reader, event)
                    if text is None:
                        return
                    yield text
            if not await self._woken(seen):
                yield b": still here\n\n"

    async def _woken(self, seen: int) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s), self._changed:
                await self._changed.wait_for(lambda: self._stopping or self._latest > seen)
                return True
        return False

    def _told(self, reader: Reader, event: Event) -> bytes | None:
        """An event as the text of a stream; its job is told as it is by now, which later events tell again.

        None where it must not be told, as that cannot be written down.
        """
        try:
            if event.state is None:
                raise NoSuchJobError
            if not self._noted(reader, event.job_id):
                return None
            kind, data = "job", described(self._queue, self._queue.job(event.job_id)).model_dump_json()
        except NoSuchJobError:
            kind, data = "removed", f'{{"id":"{event.job_id}"}}'
        return f"id: {event.number}\nevent: {kind}\ndata: {data}\n\n".encode()

    def _noted(self, reader: Reader, job_id: str) -> bool:
        """Write down that somebody is told of a job: once a stream, as what follows is of the same job."""
        if job_id in reader.told:
            return True
        reader.told.add(job_id)
        return self._audit.write(reader.user, "event", job_id, 200, reader.address)
