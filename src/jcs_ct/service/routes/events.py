"""Changes of jobs as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from jcs_ct.service.deps import Address, CurrentPrincipal, Parts, VisibleJob
from jcs_ct.service.serving_files import sends

router = APIRouter(tags=["events"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
_STREAM = sends("text/event-stream", "Events `job` and `removed`.")


@router.get("/events", responses=_STREAM, response_class=StreamingResponse)
async def events(
    principal: CurrentPrincipal, address: Address, services: Parts, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Changes of all jobs that may be seen: each with the job as it is, numbered, to go on from after a gap."""
    return _response(services.follow(principal, address, _number(last_event_id)))


@router.get("/jobs/{job_id}/events", responses=_STREAM, response_class=StreamingResponse)
async def job_events(
    job: VisibleJob, principal: CurrentPrincipal, address: Address, services: Parts, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Changes of one job."""
    return _response(services.follow(principal, address, _number(last_event_id), job.id))


def _number(sent: str | None) -> int | None:
    """What is no number is of another program: as if nothing was seen."""
    return int(sent) if sent and sent.isascii() and sent.isdigit() and len(sent) < 19 else None


def _response(text: AsyncIterator[bytes]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(text, media_type="text/event-stream", headers=headers)
