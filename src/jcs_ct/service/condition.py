"""How the service is, as measured a moment ago: each answer is tried out, and none is assumed.

A full disk, a database that cannot be written, an audit trail that lost a line, and workers that do not run each keep
studies from being worked off, while the page still opens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from jcs_ct.errors import JcsError
from jcs_ct.jobs.database import Database
from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.schema import queue_schema
from jcs_ct.jobs.supervisor import Supervisor
from jcs_ct.service.audit import ServiceAudit

_FRESH_S = 2.0
_EVERY_S = 10.0
_PATIENCE_S = 5.0
"""With whoever holds the database."""

log = logging.getLogger("jcs_ct.service")


@dataclass(frozen=True)
class State:
    """What was found; each problem in words that tell nothing of folders and patients."""

    problems: tuple[str, ...]
    ready: bool
    queued: int
    running: int


class Condition:
    """Looks how the service is.

    Args:
        queue: Its queue.
        supervisor: Of its workers; None where others work.
        audit: Its trail.
    """

    def __init__(self, queue: JobQueue, supervisor: Supervisor | None, audit: ServiceAudit) -> None:
        self._queue = queue
        self._supervisor = supervisor
        self._audit = audit
        self._probe = Database(queue.folders.database, queue_schema(), busy_s=_PATIENCE_S)
        self._seen: tuple[float, State] | None = None
        self._counts = (0, 0)
        self._looking = asyncio.Lock()
        self._limiter: CapacityLimiter | None = None

    def close(self) -> None:
        """Let go of the database."""
        self._probe.close()

    async def state(self) -> State:
        """As it is, or was within the last seconds."""
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] > _FRESH_S:
                # A thread of its own: it answers also where all others wait.
                self._limiter = self._limiter or CapacityLimiter(1)
                found = await run_sync(self._look, limiter=self._limiter)
                self._seen = time.monotonic(), found
            return self._seen[1]

    async def watching(self) -> None:
        """Look from time to time, and tell the operator what changed, until cancelled."""
        known: tuple[str, ...] = ()
        while True:
            problems = (await self.state()).problems
            for problem in problems:
                if problem not in known:
                    log.error("service: %s", problem)
            known = problems
            await asyncio.sleep(_EVERY_S)

    def _look(self) -> State:
        problems = [*self._of_database(), *self._of_disk()]
        if self._audit.broken:
            problems.append("the audit trail cannot be written")
        workers = self._supervisor
        if workers is not None and (workers.problem is not None or not workers.alive):
            problems.append("studies are not worked off; its operator finds the reason in the log")
        ready = not problems and (workers is None or workers.ready)
        return State(tuple(problems), ready, *self._counts)

    def _of_database(self) -> list[str]:
        try:
            counts = self._queue.counts()
            self._counts = counts[JobState.QUEUED], counts[JobState.RUNNING]
            with self._probe.transaction():
                return []
        except JcsError:
            return ["the database cannot be written: a disk or a backup may be stuck"]

    def _of_disk(self) -> list[str]:
        try:
            if self._queue.folders.free_bytes() >= self._queue.settings.min_free_bytes:
                return []
        except OSError:
            return ["the disk cannot be read"]
        return ["the disk is nearly full: no study is taken"]
