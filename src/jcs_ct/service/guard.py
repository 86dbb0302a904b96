"""What holds for every request, before and after its route: host, size, headers, the log and the audit trail."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import time
import traceback
from collections.abc import Callable
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jcs_ct.jobs.folders import DISK_FULL
from jcs_ct.service.access import SAFE_METHODS
from jcs_ct.service.audit import AuditTrail
from jcs_ct.service.problems import problem_response

log = logging.getLogger("jcs_ct.service")

_DRAIN_BYTES, _DRAIN_S = 32 * 1024**2, 2.0
"""Of a body that was refused: as much is received all the same."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_LARGE = re.compile(r"POST /jobs|PATCH /uploads/[^/]+|PUT /jobs/[^/]+/outlines")
"""Routes that read their body piece by piece, and have a limit of their own."""
_QUIET = frozenset({"/health", "/session", "/openapi.json", "/events", "/jobs/{job_id}/events"})
"""Routes that are read all the time, and tell nothing of a study or repeat what was told."""


class Guard:
    """Around the whole app.

    Args:
        app: What is guarded.
        hosts: Names that requests may be for.
        secure: Whether browsers come by TLS.
        max_bytes: Of a body whose route has no limit of its own.
        api: Prefix of the interface.
        audit: Gives the audit trail, which is there when the app runs.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str],
        secure: bool,
        max_bytes: int,
        api: str,
        audit: Callable[[], AuditTrail],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._api = api
        self._audit = audit
        self._headers = dict(_HEADERS)
        if secure:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = f"{scope['method']} {scope['path'].removeprefix(self._api)}"
        large = _LARGE.fullmatch(route) is not None
        private = scope["path"].startswith(self._api)
        began, seen = time.monotonic(), _Seen(receive, send, self._headers, private, large)
        scope.setdefault("state", {})
        try:
            refusal = self._refusal(Headers(scope=scope), large)
            await (refusal or self._app)(scope, seen.receive, seen.send)
        except ClientDisconnect:
            log.info("the client went away")
        except Exception as error:
            # Not its message: libraries quote what a study says of the patient.
            log.error("internal error, %s at %s", type(error).__name__, _place(error))
            if not seen.status:
                await _told_of(error)(scope, seen.receive, seen.send)
        finally:
            await self._tell(scope, seen.status, time.monotonic() - began)

    def _refusal(self, headers: Headers, large: bool) -> ASGIApp | None:
        if not self._is_known(headers.get("Host", "")):
            return problem_response(
                HTTPStatus.MISDIRECTED_REQUEST, "the request is for a host of another name; see --allow-host"
            )
        size = headers.get("Content-Length", "0")
        unbounded = "Transfer-Encoding" in headers
        if not large and (unbounded or not size.isdigit() or int(size) > self._max_bytes):
            return problem_response(
                HTTPStatus.LENGTH_REQUIRED if unbounded else HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"expected a body of a stated length of at most {self._max_bytes} bytes",
                {"Connection": "close"},
            )
        return None

    def _is_known(self, host: str) -> bool:
        """Another site's name that leads here is refused; an address is nobody's name, and cannot be led elsewhere."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").rstrip(".").lower()
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _tell(self, scope: Scope, status: int, took_s: float) -> None:
        path = getattr(scope.get("route"), "path", None)
        if path is None or not scope["path"].startswith(self._api):
            return
        path, state = path.removeprefix(self._api), scope["state"]
        method, who = scope["method"], state.get("user")
        log.info("%s %s %d %.0f ms", method, path, status, 1000 * took_s)
        quiet = path in _QUIET and (method in SAFE_METHODS)
        # Who is not let in must not be able to fill the disk; logins that fail are bounded.
        turned_away = status == 429 or (status == 401 and path != "/session")
        if (quiet and status < 400) or turned_away or path == "/{rest:path}":
            return
        job = state.get("job") or scope.get("path_params", {}).get("job_id")
        if job is not None and not (len(job) == 32 and job.isalnum()):
            job = None  # whatever it is that somebody tried
        address = scope["client"][0] if scope.get("client") else ""
        changes = method not in SAFE_METHODS
        await run_in_threadpool(self._audit().write, who, f"{method} {path}", job, status or 499, address, changes)


class _Seen:
    """What is received and sent, with our headers added."""

    def __init__(self, receive: Receive, send: Send, headers: dict[str, str], private: bool, large: bool) -> None:
        self.status = 0
        self._receive = receive
        self._send = send
        self._headers = headers
        self._private = private
        self._large = large
        self._received = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._received = not message.get("more_body", False)  # also of a disconnect
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            if self._large and self.status >= 400 and not await self._drained():
                headers["Connection"] = "close"  # else all of what was refused would be received
            if self._private:
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    async def _drained(self) -> bool:
        """Whether the rest of a body that was refused has come soon: who still sends does not see the answer."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while not self._received and size < _DRAIN_BYTES:
                    size += len((await self.receive()).get("body", b""))
        return self._received


def _told_of(error: Exception) -> ASGIApp:
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return problem_response(HTTPStatus.INSUFFICIENT_STORAGE, "the disk is full: free some space")
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of JCS; its operator finds it in the log")


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return "; ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[-4:])
