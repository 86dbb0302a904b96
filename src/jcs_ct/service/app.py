"""The web service: an app that takes studies in, has the queue work them off, and shows what came out.

    app = create_app(ServiceSettings(store=Path("store")))

Below /api/v1 is the REST interface, told by /api/v1/openapi.json; everything else is the page in `viewer`. Routes
are in `routes`, one module a noun; they hold no logic, but call the modules beside this one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from jcs_ct._version import __version__
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.service.access import cookie_name
from jcs_ct.service.guard import Guard, Limits
from jcs_ct.service.page import add_page
from jcs_ct.service.problems import PROBLEMS, handle_problems
from jcs_ct.service.routes import ROUTERS
from jcs_ct.service.services import Services
from jcs_ct.service.settings import ServiceSettings

API = "/api/v1"
VIEWER = Path(str(resources.files("jcs_ct.service"))) / "viewer"


def create_app(
    settings: ServiceSettings,
    queue_settings: QueueSettings | None = None,
    *,
    work: bool = True,
    page: Path = VIEWER,
) -> FastAPI:
    """Make the app.

    Args:
        settings: Of the service.
        queue_settings: Of the queue; those of `QueueSettings` if None.
        work: Whether to work the queue off.
        page: Folder of the page.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = Services(settings, queue_settings or QueueSettings(), work)
        async with app.state.services.running():
            yield

    app = FastAPI(
        title="JCS",
        summary="Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device.",
        version=__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # their pages load code from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    _add_guard(app, settings)
    handle_problems(app, str(settings.store.resolve()))
    for router in ROUTERS:
        app.include_router(router, prefix=API, responses=PROBLEMS)
    add_page(app, page, API)
    return app


def _add_guard(app: FastAPI, settings: ServiceSettings) -> None:
    limits = Limits(
        hosts=settings.known_hosts,
        cookie=cookie_name(settings),
        head_bytes=settings.max_header_bytes,
        body_bytes=settings.max_request_bytes,
        body_s=settings.body_s,
    )
    year = f"max-age=31536000{'; includeSubDomains' if settings.hsts_subdomains else ''}"
    app.add_middleware(
        Guard,
        limits=limits,
        transport=year if settings.secure else None,
        api=API,
        audit=lambda: app.state.services.audit,
    )
    if settings.proxies:  # around the guard, which then knows the client
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))
