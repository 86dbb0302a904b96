"""What holds for every request, before and after its route: host, size, deadlines, headers, log and audit trail."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jcs_ct.jobs.folders import DISK_FULL
from jcs_ct.service.access import SAFE_METHODS
from jcs_ct.service.audit import ServiceAudit
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
_QUIET = frozenset({"/health", "/ready", "/session", "/openapi.json"})
"""Routes that are read all the time, and tell nothing of a study."""
_STREAMS = re.compile(r"GET (/jobs/[^/]+)?/events")
"""Routes whose response goes on for hours."""
_COOKIE_VALUE = re.compile(rb"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    hosts: frozenset[str]
    """Names that requests may be for."""
    cookie: str
    """The only cookie that is read."""
    head_bytes: int
    body_bytes: int
    """Of a body whose route has no limit of its own."""
    body_s: float
    """In which such a body must have come."""


class Guard:
    """Around the whole app.

    Args:
        app: What is guarded.
        limits: What a request may take.
        transport: Value of Strict-Transport-Security where browsers come by TLS, else None.
        api: Prefix of the interface.
        audit: Gives the audit trail, which is there when the app runs.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, transport: str | None, api: str, audit: Callable[[], ServiceAudit]
    ) -> None:
        self._app = app
        self._limits = limits
        self._api = api
        self._audit = audit
        self._headers = dict(_HEADERS)
        if transport is not None:
            self._headers["Strict-Transport-Security"] = transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = f"{scope['method']} {scope['path'].removeprefix(self._api)}"
        large = _LARGE.fullmatch(route) is not None
        private = scope["path"].startswith(self._api)
        scope.setdefault("state", {})
        scope["state"]["takes_long"] = large or _STREAMS.fullmatch(route) is not None
        began = time.monotonic()

        async def tell(status: int) -> bool:
            return await self._tell(scope, status, time.monotonic() - began)

        seen = _Seen(scope, receive, send, self._headers, private, large, tell, self._limits.body_s)
        try:
            refusal = self._refusal(scope, large)
            await (refusal or self._app)(scope, seen.receive, seen.send)
        except ClientDisconnect:
            log.info("the client went away")
        except Exception as error:
            # Not its message: libraries quote what a study says of the patient.
            log.error("internal error, %s at %s", type(error).__name__, _place(error))
            if not seen.status:
                await _told_of(error)(scope, seen.receive, seen.send)
        finally:
            seen.end_turn()
            if not seen.status:
                await tell(499)

    def _refusal(self, scope: Scope, large: bool) -> ASGIApp | None:
        size_of_head = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size_of_head + len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._limits.head_bytes:
            return problem_response(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of the request is large; expected at most {self._limits.head_bytes} bytes",
                {"Connection": "close"},
            )
        scope["headers"] = self._with_own_cookie(scope["headers"])
        headers = Headers(scope=scope)
        if not self._is_known(headers.get("Host", "")):
            return problem_response(
                HTTPStatus.MISDIRECTED_REQUEST, "the request is for a host of another name; see --allow-host"
            )
        size, most = headers.get("Content-Length", "0"), self._limits.body_bytes
        unbounded = "Transfer-Encoding" in headers
        if not large and (unbounded or not size.isdigit() or int(size) > most):
            return problem_response(
                HTTPStatus.LENGTH_REQUIRED if unbounded else HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"expected a body of a stated length of at most {most} bytes",
                {"Connection": "close"},
            )
        path = scope["path"]
        audited = path.startswith(self._api) and path.removeprefix(self._api) not in _QUIET
        return _not_audited() if audited and self._audit().closed else None

    def _with_own_cookie(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers with our cookie only: reading those of others takes long where they were made to."""
        kept = [(name, value) for name, value in headers if name != b"cookie"]
        wanted = self._limits.cookie.encode()
        for name, value in headers:
            if name == b"cookie":
                for each in value.split(b";"):
                    key, _, text = each.strip().partition(b"=")
                    if key == wanted and _COOKIE_VALUE.fullmatch(text):
                        return [*kept, (b"cookie", wanted + b"=" + text)]
        return kept

    def _is_known(self, host: str) -> bool:
        """Another site's name that leads here is refused; an address is nobody's name, and cannot be led elsewhere."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").rstrip(".").lower()
        if name in self._limits.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _tell(self, scope: Scope, status: int, took_s: float) -> bool:
        """Write down what was done; whether its answer may go out."""
        path = getattr(scope.get("route"), "path", None)
        if path is None or not scope["path"].startswith(self._api):
            return True
        path, state = path.removeprefix(self._api), scope["state"]
        method, who = scope["method"], state.get("user")
        address = scope["client"][0] if scope.get("client") else ""
        log.info("%s %s %d %.0f ms", method, path, status, 1000 * took_s)
        if status in (429, 503, 507):
            self._audit().limit(f"{method} {path} {status}", who, address)
            return True
        quiet = path in _QUIET and (method in SAFE_METHODS)
        # Who is not let in must not be able to fill the disk; logins that fail are bounded.
        turned_away = status == 401 and path != "/session"
        if (quiet and status < 400) or turned_away or path == "/{rest:path}":
            return True
        job = state.get("job") or scope.get("path_params", {}).get("job_id")
        if job is not None and not (len(job) == 32 and job.isalnum()):
            job = None  # whatever it is that somebody tried
        more = {"named": state.get("named"), "lasting": method not in SAFE_METHODS}
        return await run_in_threadpool(self._audit().write, who, f"{method} {path}", job, status, address, **more)


class _Seen:
    """What is received and sent, with our headers added and our deadline kept."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: dict[str, str],
        private: bool,
        large: bool,
        tell: Callable[[int], Awaitable[bool]],
        body_s: float,
    ) -> None:
        self.status = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = headers
        self._private = private
        self._large = large
        self._tell = tell
        self._deadline = time.monotonic() + body_s
        self._received = False
        self._withheld = False

    async def receive(self) -> Message:
        if self._large or self._received:
            message = await self._receive()
        else:
            try:
                async with asyncio.timeout(self._deadline - time.monotonic()):
                    message = await self._receive()
            except TimeoutError:
                message = {"type": "http.disconnect"}  # as far as a route is concerned
                await self._hang_up()
        self._received = not message.get("more_body", False)  # also of a disconnect
        return message

    async def send(self, message: Message) -> None:
        if self._withheld:
            return
        if message["type"] == "http.response.start":
            self.end_turn()
            self.status = message["status"]
            if not await self._tell(self.status):
                self._withheld = True
                self.status = HTTPStatus.SERVICE_UNAVAILABLE
                await _not_audited()(self._scope, self._receive, self._send)
                return
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            if self._large and self.status >= 400 and not await self._drained():
                headers["Connection"] = "close"  # else all of what was refused would be received
            if self._private:
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    def end_turn(self) -> None:
        """The work is done; sending what came out may take as long as the client likes."""
        give_back = self._scope["state"].pop("give_back", None)
        if give_back is not None:
            give_back()

    async def _hang_up(self) -> None:
        if not self.status:
            late = problem_response(
                HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time", {"Connection": "close"}
            )
            await late(self._scope, self._receive, self.send)
            self._withheld = True

    async def _drained(self) -> bool:
        """Whether the rest of a body that was refused has come soon: who still sends does not see the answer."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while not self._received and size < _DRAIN_BYTES:
                    size += len((await self.receive()).get("body", b""))
        return self._received


def _not_audited() -> ASGIApp:
    said = "the audit trail cannot be written: its operator finds the reason in the log"
    return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, said, {"Retry-After": "60"})


def _told_of(error: Exception) -> ASGIApp:
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return problem_response(HTTPStatus.INSUFFICIENT_STORAGE, "the disk is full: free some space")
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of JCS; its operator finds it in the log")


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return "; ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[-4:])
