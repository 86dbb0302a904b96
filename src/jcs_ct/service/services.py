"""What the routes work with, made once for an app."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.supervisor import Supervisor
from jcs_ct.service.access import Access, Principal
from jcs_ct.service.audit import ServiceAudit
from jcs_ct.service.computing import Computing
from jcs_ct.service.condition import Condition
from jcs_ct.service.following import Follower, Reader
from jcs_ct.service.resumable import ResumableUploads
from jcs_ct.service.settings import ServiceSettings
from jcs_ct.service.turns import Turns
from jcs_ct.service.uploading import Uploading
from jcs_ct.service.views import Views

_INTAKE = 2
"""Studies that are moved into the queue at a time."""
_PACKING = 2
"""Archives of results of which a piece is packed at a time."""
_WAITING = 128
"""Requests of one user that may wait for their turn."""


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
        self.computing = Computing(settings.computing_s, queue_settings.memory_bytes)
        self.views = Views(self.queue, self.computing)
        self.audit = ServiceAudit(self.queue.audit, settings.audit_required)
        self.follower = Follower(self.queue, settings.poll_s, settings.heartbeat_s, settings.max_streams, self.audit)
        self.access = Access(settings)
        self.uploads = ResumableUploads(self.queue.folders.root / "uploads" / "resumable", settings)
        self.turns = Turns(settings.max_requests, settings.max_requests_per_user, _WAITING)
        self.intake = Turns(_INTAKE, 1, _WAITING)
        self.packing = Turns(_PACKING, 1, _WAITING)
        self.uploading = Uploading(self.queue, settings)
        self.condition = Condition(self.queue, self.supervisor, self.audit)

    @property
    def arrivals(self) -> Path:
        """Where uploads are written to before they are handed in; on the store's disk, so that moving costs nothing."""
        return self.queue.folders.root / "uploads" / "forms"

    def follow(
        self, principal: Principal, address: str, after: int | None, job_id: str | None = None
    ) -> AsyncIterator[bytes]:
        """A stream of events for somebody, for as long as they are logged in.

        Raises:
            RefusedError: They have too many.
        """
        reader = Reader(principal.user, address, lambda: self.access.still_in(principal))
        return self.follower.stream(reader, after, job_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work, until the context ends."""
        shutil.rmtree(self.arrivals, ignore_errors=True)  # of an earlier run that was killed
        if self.supervisor is not None:
            self.supervisor.start()
        work = (self.follower.run(), self.uploads.sweeping(), self.condition.watching())
        tasks = [asyncio.create_task(each) for each in work]
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
        self.condition.close()
        self.queue.close()
