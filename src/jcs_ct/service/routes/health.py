"""Whether the service is well."""

from __future__ import annotations

from fastapi import APIRouter

from jcs_ct._version import __version__
from jcs_ct.jobs.job import JobState
from jcs_ct.service.deps import Parts
from jcs_ct.service.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/health")
def health(services: Parts) -> Health:
    """How the service is; asks for no login and tells nothing of patients."""
    counts = services.queue.counts()
    problem = None if services.supervisor is None else services.supervisor.problem
    return Health(
        status="ok" if problem is None else "degraded",
        version=__version__,
        queued=counts[JobState.QUEUED],
        running=counts[JobState.RUNNING],
        # The operator finds in the log what it is: it may name folders.
        problem=None if problem is None else "studies are not worked off; its operator finds the reason in the log",
    )
