"""Comparisons with other studies of the patient."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from jcs_ct.service import comparisons
from jcs_ct.service.deps import JOB_ID, CurrentUser, Parts, VisibleJob
from jcs_ct.service.schemas import JobDocument
from jcs_ct.service.worklist import visible_job

router = APIRouter(prefix="/jobs/{job_id}", tags=["comparison"])


@router.get("/earlier")
def earlier(job: VisibleJob, user: CurrentUser, services: Parts) -> list[JobDocument]:
    """Other studies of the same patient, told by the patient's ID, that have been diagnosed."""
    return comparisons.of_same_patient(services.queue, job, user)


@router.get("/comparison")
def comparison(
    job: VisibleJob,
    earlier: Annotated[str, Query(pattern=JOB_ID, description="The other job.")],
    user: CurrentUser,
    services: Parts,
) -> dict[str, Any]:
    """The change since another study, as `jcs compare` writes it."""
    return comparisons.compared(services.queue, visible_job(services.queue, earlier, user), job)
