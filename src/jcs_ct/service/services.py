"""What the routes work with, made once for an app."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.supervisor import Supervisor
from jcs_ct.service.access import Access, Principal
from jcs_ct.service.audit import AuditTrail
from jcs_ct.service.computing import Computing
from jcs_ct.service.following import Follower
from jcs_ct.service.resumable import ResumableUploads
from jcs_ct.service.settings import ServiceSettings
from jcs_ct.service.views import Views

_INTAKE = 2
"""Studies that are moved into the queue at a time."""


class Services:
    """The parts of the service, ready to be used.

    Args:
        settings: Of the service.
        queue_settings: Of the queue below it.
        work: Whether to work the queue off.
    """

    def __init__(self, settings: ServiceSettings, queue_settings: QueueSettings, work: bool) -> None:
        self.settings = settings
        self.queue = JobQueue(settings.store, queue_settings)
        self.supervisor = Supervisor(settings.store, queue_settings) if work else None
        self.computing = Computing(settings.computing_s)
        self.views = Views(self.queue, self.computing)
        self.follower = Follower(self.queue, settings.poll_s, settings.heartbeat_s)
        self.access = Access(settings)
        self.audit = AuditTrail(self.queue.folders.root / "audit.jsonl")
        self.uploads = ResumableUploads(self.queue.folders.root / "uploads" / "resumable", settings)
        self.intake = anyio.CapacityLimiter(_INTAKE)
        self.arriving = 0
        """Uploads that are being received now."""

    @property
    def arrivals(self) -> Path:
        """Where uploads are written to before they are handed in; on the store's disk, so that moving costs nothing."""
        return self.queue.folders.root / "uploads" / "forms"

    def follow(self, principal: Principal, after: int | None, job_id: str | None = None) -> AsyncIterator[bytes]:
        """A stream of events for somebody, for as long as they are logged in."""
        return self.follower.stream(principal.user, after, job_id, lambda: self.access.still_in(principal))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work, until the context ends."""
        shutil.rmtree(self.arrivals, ignore_errors=True)  # of an earlier run that was killed
        if self.supervisor is not None:
            self.supervisor.start()
        tasks = [asyncio.create_task(work) for work in (self.follower.run(), self.uploads.sweeping())]
        try:
            yield
        finally:
            await self.follower.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.computing.close()
        if self.supervisor is not None:
            self.supervisor.stop()
        self.queue.close()
        self.audit.close()
