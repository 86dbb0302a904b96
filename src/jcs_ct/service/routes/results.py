"""Results: the figures, and the files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from jcs_ct.service import results
from jcs_ct.service.deps import CurrentUser, Parts, RevisionNumber, VisibleJob
from jcs_ct.service.schemas import ResultFile
from jcs_ct.service.services import Services
from jcs_ct.service.serving_files import file_response, sends

router = APIRouter(prefix="/jobs/{job_id}", tags=["results"])

_ANY_FILE = sends("application/octet-stream", "The file.")
_ZIP = sends("application/zip", "All files.")


@router.get("/result")
def result(job: VisibleJob, services: Parts, revision: RevisionNumber = None) -> dict[str, Any]:
    """`result.json`: all that was found."""
    return results.document(results.reports_of(services.queue, job, revision)[1])


@router.get("/files")
def files(job: VisibleJob, services: Parts, revision: RevisionNumber = None) -> list[ResultFile]:
    """The files of the result."""
    return results.files(results.reports_of(services.queue, job, revision)[1])


@router.get("/files/{name:path}", responses=_ANY_FILE, response_class=Response)
def file(job: VisibleJob, name: str, request: Request, services: Parts, revision: RevisionNumber = None) -> Response:
    """One file of the result, to be saved."""
    path = results.file(results.reports_of(services.queue, job, revision)[1], name)
    return file_response(request, path, results.media_type(path), path.name)


@router.get("/archive.zip", responses=_ZIP, response_class=StreamingResponse)
def archive(job: VisibleJob, user: CurrentUser, services: Parts, revision: RevisionNumber = None) -> StreamingResponse:
    """All files of the result."""
    _, reports = results.reports_of(services.queue, job, revision)
    # Named after the job and not after the study: names of downloads end up in other people's sight.
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.zip"', "Cache-Control": "private, no-store"}
    pieces = _in_turns(results.archive(reports), services, user)
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


async def _in_turns(pieces: Iterator[bytes], services: Services, user: str) -> AsyncIterator[bytes]:
    """Pack piece by piece: packing takes the processor, and others want some of it between two pieces."""
    piece: bytes | None = b""
    while piece is not None:
        async with services.packing.turn(user):
            piece = await run_in_threadpool(next, pieces, None)
        if piece:
            yield piece
