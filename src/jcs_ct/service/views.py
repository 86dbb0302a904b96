"""Views of jobs: which layers there are, made when somebody first looks."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool

from jcs_ct.jobs.job import Job
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.service import results
from jcs_ct.service.computing import Computing
from jcs_ct.service.layers import MASKS, ViewGrid, ViewRequest, make_view, read_grid
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.schemas import Layers, View


class Views:
    """Has views made, each once."""

    def __init__(self, queue: JobQueue, computing: Computing) -> None:
        self._queue = queue
        self._computing = computing
        self._making: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def view(self, user: str, job: Job, revision: int | None, address: str) -> View:
        """A view.

        Args:
            user: Who looks.
            job: Whose.
            revision: Which; the latest if None.
            address: That layers lie below.
        """
        request = await self._made(user, job, revision)
        grid = await run_in_threadpool(read_grid, request)
        urls = {
            name: f"{address}/{name}.nii.gz?revision={request.revision}" if request.path(name).exists() else None
            for name in MASKS
        }
        volume = f"{address}/volume.nii.gz?revision={request.revision}"
        return View(revision=request.revision, layers=Layers(volume=volume, **urls), **vars(grid))

    async def grid(self, user: str, job: Job) -> ViewGrid:
        """The grid that layers and outlines of a study are on."""
        return await run_in_threadpool(read_grid, await self._made(user, job, None))

    async def layer(self, user: str, job: Job, revision: int | None, name: str) -> Path:
        """The file of a layer.

        Raises:
            RefusedError: The view has no such layer.
        """
        request = await self._made(user, job, revision)
        path = request.path(name)
        if not path.exists():
            raise RefusedError(HTTPStatus.NOT_FOUND, f"the result has no layer {name}: see its view")
        return path

    async def _made(self, user: str, job: Job, revision: int | None) -> ViewRequest:
        request = await run_in_threadpool(self._request, job, revision)
        if not request.made:
            async with self._making.setdefault(job.id, asyncio.Lock()):
                if not request.made:
                    await self._computing.run(user, make_view, request)
                    await run_in_threadpool(self._queue.ledger.recount, job.id)
        return request

    def _request(self, job: Job, revision: int | None) -> ViewRequest:
        number, _ = results.reports_of(self._queue, job, revision)
        folders = self._queue.folders
        return ViewRequest(folders.root, job.id, number, folders.job(job.id) / "view")
