"""Studies: handed in, listed, cancelled, deleted."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from jcs_ct.jobs.job import JobState
from jcs_ct.service import intake
from jcs_ct.service.deps import CurrentUser, JobId, Parts, VisibleJob, may
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.schemas import JobDocument, JobList
from jcs_ct.service.users import Role
from jcs_ct.service.worklist import NODE, described, listed, restored

router = APIRouter(prefix="/jobs", tags=["jobs"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "A zip, a NIfTI file, DICOM files or pictures. Names may hold folders.",
                        },
                        "series_uid": {"type": "string", "description": "The DICOM series to read."},
                        "formats": {"type": "array", "items": {"type": "string"}, "description": "Reports to write."},
                    },
                }
            }
        },
    }
}


@router.get("")
def jobs(
    user: CurrentUser,
    services: Parts,
    state: JobState | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> JobList:
    """The worklist, the latest first."""
    return listed(services.queue, user, state, limit, offset)


@router.post("", status_code=HTTPStatus.ACCEPTED, openapi_extra=_FORM)
async def submit(request: Request, user: CurrentUser, services: Parts) -> JobDocument:
    """Hand a study in."""
    made = await intake.from_form(services, user, request.headers, request.stream())
    request.state.job = made.id  # for the audit trail
    return made


@router.get("/removed")
def removed(user: CurrentUser, services: Parts) -> JobList:
    """Studies that were deleted and can still be restored, the latest deletion first."""
    found = services.queue.removed((user, NODE), limit=500)
    return JobList(jobs=[described(services.queue, each) for each in found], total=len(found))


@router.get("/{job_id}")
def job(found: VisibleJob, services: Parts) -> JobDocument:
    """One job."""
    return described(services.queue, found)


@router.post("/{job_id}/cancel")
def cancel(found: VisibleJob, services: Parts) -> JobDocument:
    """Have a study not worked off, or not finished; one that has ended stays as it is."""
    return described(services.queue, services.queue.cancel(found.id))


@router.post("/{job_id}/hold", dependencies=[may(Role.DELETE)])
def hold(found: VisibleJob, services: Parts, held: Annotated[bool, Query()] = True) -> JobDocument:
    """Keep a study whatever its age, or no longer; one that was signed is kept anyhow."""
    return described(services.queue, services.queue.hold(found.id, held))


@router.post("/{job_id}/restore", dependencies=[may(Role.DELETE)])
def restore(job_id: JobId, user: CurrentUser, services: Parts) -> JobDocument:
    """Bring a study back that was deleted, or removed by its age, not too long ago."""
    return described(services.queue, restored(services.queue, job_id, user))


@router.delete("/{job_id}", status_code=HTTPStatus.NO_CONTENT, dependencies=[may(Role.DELETE)])
def remove(found: VisibleJob, services: Parts) -> None:
    """Delete a study that has ended, with all that belongs to it; it can be restored for some days."""
    if not found.state.ended:
        raise RefusedError(HTTPStatus.CONFLICT, f"the study is {found.state.value}; cancel it first")
    services.queue.remove(found.id)
