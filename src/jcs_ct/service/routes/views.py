"""Views: the study and its masks as volumes that a browser shows."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from jcs_ct.service.deps import CurrentUser, Parts, RevisionNumber, VisibleJob
from jcs_ct.service.schemas import View
from jcs_ct.service.serving_files import file_response, sends

router = APIRouter(prefix="/jobs/{job_id}/view", tags=["view"])

_VOLUME = sends("application/gzip", "A NIfTI volume.")


@router.get("")
async def view(
    job: VisibleJob, user: CurrentUser, request: Request, services: Parts, revision: RevisionNumber = None
) -> View:
    """What can be shown of a study; made at first use, which takes seconds."""
    return await services.views.view(user, job, revision, request.url.path)


@router.get("/{layer}.nii.gz", responses=_VOLUME, response_class=Response)
async def layer(
    job: VisibleJob,
    layer: Literal["volume", "lesions", "lungs", "activation"],
    user: CurrentUser,
    request: Request,
    services: Parts,
    revision: RevisionNumber = None,
) -> Response:
    """One layer; all of a view are on one grid."""
    path = await services.views.layer(user, job, revision, layer)
    return await run_in_threadpool(file_response, request, path, "application/gzip")
