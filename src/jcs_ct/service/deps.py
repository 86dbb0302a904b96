"""What routes ask for: who is asking, which job, with which rights."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Path, Query, Request, params

from jcs_ct.jobs.job import Job
from jcs_ct.service.access import Principal
from jcs_ct.service.services import Services
from jcs_ct.service.users import Role
from jcs_ct.service.worklist import visible_job

JOB_ID = "^[0-9a-f]{32}$"
JobId = Annotated[str, Path(pattern=JOB_ID, description="As a job states it.")]
RevisionNumber = Annotated[int | None, Query(ge=0, le=9999, description="The latest if not given.")]


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(_services)]


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


Address = Annotated[str, Depends(_address)]


# Not in a thread: it takes microseconds, and threads are for those who were let in.
async def _principal(request: Request, address: Address, services: Parts) -> Principal:
    principal = services.access.principal(request.cookies, request.headers, address)
    request.state.user = principal.user  # for the audit trail
    services.access.refuse_forged(principal, request.method, request.headers)
    if not request.state.takes_long:  # what takes long has limits of its own
        await services.turns.take(principal.user)
        request.state.give_back = partial(services.turns.give_back, principal.user)
    return principal


CurrentPrincipal = Annotated[Principal, Depends(_principal)]


async def _user(principal: CurrentPrincipal) -> str:
    return principal.user


CurrentUser = Annotated[str, Depends(_user)]


def may(role: Role) -> params.Depends:
    """For routes that need a role."""

    async def check(principal: CurrentPrincipal) -> None:
        principal.refuse_without(role)

    depends: params.Depends = Depends(check)
    return depends


def _job(job_id: JobId, user: CurrentUser, services: Parts) -> Job:
    return visible_job(services.queue, job_id, user)


VisibleJob = Annotated[Job, Depends(_job)]
