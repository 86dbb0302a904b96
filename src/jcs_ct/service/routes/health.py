"""Whether the service is well, and whether it takes studies and works them off."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter

from jcs_ct._version import __version__
from jcs_ct.service.deps import Parts
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(services: Parts) -> Health:
    """How the service is; asks for no login and tells nothing of patients. It answers 200 as long as it answers."""
    state = await services.condition.state()
    return Health(
        status="degraded" if state.problems else "ok",
        version=__version__,
        queued=state.queued,
        running=state.running,
        problem="; ".join(state.problems) or None,
    )


@router.get("/ready")
async def ready(services: Parts) -> Health:
    """The same for whoever decides where to send requests: 503 while studies are not taken, or not worked off."""
    state = await services.condition.state()
    if not state.ready:
        raise RefusedError(
            HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(state.problems) or "no worker has begun yet", {"Retry-After": "5"}
        )
    return await health(services)
