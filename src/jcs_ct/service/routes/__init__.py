"""The routes, one module a noun; all of them in one list."""

from __future__ import annotations

from fastapi import APIRouter

from jcs_ct.service.routes import events, health, jobs, results, session, views

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    session.router,
    jobs.router,
    events.router,
    results.router,
    views.router,
)
