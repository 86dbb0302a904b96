"""Corrections and sign-offs: taken in here, made in the process of `computing.py`."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import anyio
import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from jcs_ct.errors import UsageError
from jcs_ct.jobs import revisions
from jcs_ct.jobs.job import Job
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.service import results
from jcs_ct.service.arrivals import place, with_patience
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.schemas import Changed, RevisionDocument, SignOff
from jcs_ct.service.services import Services

_COMPRESSED_BYTES = 64 * 1024**2
"""Of outlines, which compress to a hundredth."""


def history(queue: JobQueue, job: Job) -> list[RevisionDocument]:
    """All revisions of a result, the diagnosis first."""
    results.reports_of(queue, job, None)
    return [RevisionDocument.model_validate(vars(each)) for each in revisions.revisions(queue, job.id)]


async def correct(services: Services, job: Job, user: str, parent: int, sent: AsyncIterator[bytes]) -> Changed:
    """Have outlines measured that a user drew.

    Raises:
        RefusedError: They are too many bytes.
        JcsError: They are not of the study's size, or the result has changed meanwhile.
    """
    shape = (await services.views.grid(user, job)).shape
    with services.uploading.one_more(user), place(services.arrivals) as folder:
        path = folder / "outlines.gz"
        patient = with_patience(sent, services.settings.idle_s, services.settings.least_bytes_per_s)
        await _save(services.uploading.measured(user, patient), path)
        number = await services.computing.run(
            user, _correct, services.settings.store, services.queue.settings, job.id, path, shape, user, parent
        )
    return await run_in_threadpool(_changed, services.queue, job, number)


async def sign_off(services: Services, job: Job, user: str, said: SignOff) -> Changed:
    """Accept or reject a result.

    Raises:
        JcsError: The result has changed meanwhile, or the comment cannot be written.
    """
    number = await services.computing.run(
        user, _sign_off, services.settings.store, services.queue.settings, job.id, user, said
    )
    return await run_in_threadpool(_changed, services.queue, job, number)


def _changed(queue: JobQueue, job: Job, number: int) -> Changed:
    return Changed(revision=number, result=results.document(results.reports_of(queue, job, number)[1]))


async def _save(sent: AsyncIterator[bytes], path: Path) -> None:
    size = 0
    async with await anyio.open_file(path, "xb") as stream:
        async for chunk in sent:
            size += len(chunk)
            if size > _COMPRESSED_BYTES:
                raise RefusedError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the outlines have more than {_COMPRESSED_BYTES} bytes; expected a mask, compressed by gzip",
                )
            await stream.write(chunk)


def _correct(
    store: Path, settings: QueueSettings, job_id: str, path: Path, shape: tuple[int, int, int], user: str, parent: int
) -> int:
    outlines = read_outlines(path, shape)
    with JobQueue(store, settings) as queue:
        return revisions.correct(queue, job_id, outlines, user, parent).number


def _sign_off(store: Path, settings: QueueSettings, job_id: str, user: str, said: SignOff) -> int:
    with JobQueue(store, settings) as queue:
        return revisions.sign_off(queue, job_id, said.judgement, user, said.comment, said.parent).number


def read_outlines(path: Path, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """(Z, H, W) of a gzip file with a byte a voxel; not a byte more is unpacked than there may be.

    Raises:
        UsageError: It is something else, or of another size.
    """
    expected = math.prod(shape)
    try:
        with gzip.open(path) as stream:
            data = stream.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError("the outlines are damaged; expected bytes compressed by gzip") from error
    if len(data) != expected:
        size = " x ".join(map(str, shape))
        more = "more" if len(data) > expected else "fewer"
        raise UsageError(f"the outlines hold {more} bytes than the study has voxels; expected {size} (see its view)")
    outlines = np.frombuffer(data, np.uint8).reshape(shape)
    if outlines.max() > 1:
        raise UsageError(f"the outlines hold the value {outlines.max()}; expected 0, and 1 in opacities")
    return outlines.astype(bool)
