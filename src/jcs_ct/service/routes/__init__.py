"""The routes, one module a noun; all of them in one list."""

from __future__ import annotations

from fastapi import APIRouter

from jcs_ct.service.routes import account, comparisons, events, health, jobs, results, reviews, session, uploads, views

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    session.router,
    account.router,
    jobs.router,
    uploads.router,
    events.router,
    results.router,
    views.router,
    reviews.router,
    comparisons.router,
)
