"""Errors as problem+json (RFC 9457): what was found, what was expected, what to do; nothing of files and code."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from jcs_ct.errors import InputError, JcsError, NoSuchJobError, QueueError, QueueFullError, QuotaError, UsageError
from jcs_ct.service.schemas import ProblemDocument

MEDIA_TYPE = "application/problem+json"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Refused.", "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}}
}
"""For OpenAPI: what every route may answer."""


class RefusedError(Exception):
    """A request that is refused.

    Args:
        status: Of the response.
        detail: For the user.
        headers: Of the response.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as a response."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def status_of(error: JcsError) -> HTTPStatus:
    """What an error of ours is in HTTP."""
    kinds: tuple[tuple[type[JcsError], HTTPStatus], ...] = (
        (NoSuchJobError, HTTPStatus.NOT_FOUND),
        (QuotaError, HTTPStatus.TOO_MANY_REQUESTS),
        (QueueFullError, HTTPStatus.SERVICE_UNAVAILABLE),
        (QueueError, HTTPStatus.CONFLICT),
        (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
        (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def handle_problems(app: FastAPI, store: str) -> None:
    """Have all errors of an app answered as problems.

    Args:
        app: Which.
        store: Where the studies lie, which is nobody's business.
    """

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RefusedError)
        return problem_response(error.status, error.detail, error.headers)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem_response(error.status_code, str(error.detail), error.headers)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # Without what was sent: it may be long, or the patient's.
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, found)

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, JcsError)
        status = status_of(error)
        again = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
        retry = {"Retry-After": "60"} if again else None
        return problem_response(status, " ".join(str(error).replace(store, "…").split()), retry)

    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(JcsError, ours)
