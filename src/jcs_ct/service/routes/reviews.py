"""Reviews: results corrected and signed off; each makes a revision."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from jcs_ct.service import reviews
from jcs_ct.service.deps import CurrentUser, Parts, VisibleJob, may
from jcs_ct.service.schemas import Changed, RevisionDocument, SignOff
from jcs_ct.service.users import Role

router = APIRouter(prefix="/jobs/{job_id}", tags=["reviews"])

_OUTLINES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
        "description": "One byte a voxel of the view's grid, 0 or 1, in the order slices, rows, columns; gzip.",
    }
}
Parent = Annotated[int, Query(ge=0, le=9999, description="The revision that was changed.")]


@router.get("/revisions")
def revisions(job: VisibleJob, services: Parts) -> list[RevisionDocument]:
    """All revisions of the result; number 0 is the diagnosis."""
    return reviews.history(services.queue, job)


@router.put("/outlines", openapi_extra=_OUTLINES, dependencies=[may(Role.SIGN)])
async def outlines(job: VisibleJob, parent: Parent, request: Request, user: CurrentUser, services: Parts) -> Changed:
    """Replace the outlines of opacities; everything is measured again, and nothing is decided anew."""
    return await reviews.correct(services, job, user, parent, request.stream())


@router.post("/sign-off", dependencies=[may(Role.SIGN)])
async def sign_off(job: VisibleJob, said: SignOff, user: CurrentUser, services: Parts) -> Changed:
    """Accept or reject the result, with a comment that its reports will carry."""
    return await reviews.sign_off(services, job, user, said)
