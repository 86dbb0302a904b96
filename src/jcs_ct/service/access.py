"""Who is asking: sessions of browsers, tokens of programs, or whoever sits at the computer where there are no users.

A browser sends its cookie with every request, also with those that another site makes it send. So a change needs more:
no other site as its origin, and, with a session, its secret in a header.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync

from jcs_ct.service.problems import RefusedError
from jcs_ct.service.rates import Rates
from jcs_ct.service.settings import ServiceSettings
from jcs_ct.service.users import Users

LOCAL = "local"
"""Who sits at the computer."""
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HASHING = 2
"""Passwords that are checked at a time: each takes 64 MiB."""


@dataclass
class Session:
    """A browser that has logged in."""

    user: str
    csrf: str
    password: str
    """Hash that the user had then: another password ends all sessions."""
    used_at: float


@dataclass(frozen=True)
class Principal:
    """Who is asking, and by what they are known."""

    user: str
    session: Session | None = None
    token: str | None = None


class Access:
    """Who may come in.

    Args:
        settings: Of the service.

    Raises:
        UsageError: The file of users cannot be read.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.users = None if settings.users is None else Users(settings.users)
        self._settings = settings
        self._sessions: dict[str, Session] = {}
        self._failures = Rates(settings.logins_per_minute / 60, settings.logins_per_minute)
        self._requests = Rates(settings.requests_per_s, settings.request_burst)
        self._hashing = anyio.CapacityLimiter(_HASHING)
        self._local_csrf = secrets.token_urlsafe(32)

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers take one of this prefix over TLS and for this host only."""
        return "__Host-jcs" if self._settings.secure else "jcs-session"

    def principal(self, cookies: Mapping[str, str], headers: Mapping[str, str], address: str) -> Principal:
        """Who is asking.

        Raises:
            RefusedError: Nobody who is known, or too often.
        """
        principal = self._known(cookies.get(self.cookie), headers.get("Authorization"))
        wait_s = self._requests.take(principal.user if principal else address)
        if wait_s:
            raise _too_often(wait_s)
        if principal is None:
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED, "nobody is logged in; log in, or send a token", {"WWW-Authenticate": "Bearer"}
            )
        return principal

    def refuse_forged(self, principal: Principal | None, method: str, headers: Mapping[str, str]) -> None:
        """See that a change is what the user wants, and not what another site has their browser do.

        Raises:
            RefusedError: It is not, for all that can be told.
        """
        if method in SAFE_METHODS:
            return
        origin = headers.get("Origin")
        elsewhere = origin is not None and urlsplit(origin).netloc.lower() != headers.get("Host", "").lower()
        if elsewhere or headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise RefusedError(HTTPStatus.FORBIDDEN, "the request comes from another site; expected this one's page")
        session = None if principal is None else principal.session
        if session and not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), session.csrf.encode()):
            raise RefusedError(
                HTTPStatus.FORBIDDEN, f"expected the csrf value of GET /session in the header {CSRF_HEADER}"
            )

    def csrf(self, principal: Principal) -> str | None:
        """What the page sends along with changes; None for programs."""
        if principal.session is not None:
            return principal.session.csrf
        return self._local_csrf if self.users is None else None

    async def log_in(self, user: str, password: str, address: str) -> tuple[str, Principal]:
        """Begin a session.

        Returns:
            The value of the cookie, and who it is.

        Raises:
            RefusedError: There are no users, or no such user with this password, or it was tried too often.
        """
        if self.users is None:
            raise RefusedError(HTTPStatus.CONFLICT, "there are no users to log in; the service is for this computer")
        places = (f"from {address}", f"for {user}")
        # Taken before the password is looked at, so that tries at the same time count, too.
        if wait_s := max([self._failures.take(place) for place in places]):
            raise _too_often(wait_s)
        found = await run_sync(self.users.of_password, user, password, limiter=self._hashing)
        if found is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "no user of this name has this password")
        for place in places:
            self._failures.give_back(place)
        self._drop_old()
        cookie, session = secrets.token_urlsafe(32), Session(user, secrets.token_urlsafe(32), found.password, _now())
        self._sessions[_digest(cookie)] = session
        return cookie, Principal(user, session)

    def log_out(self, cookies: Mapping[str, str]) -> None:
        """End a session."""
        self._sessions.pop(_digest(cookies.get(self.cookie, "")), None)

    def still_in(self, principal: Principal) -> bool:
        """Whether somebody who was let in would still be: for what lasts long."""
        if self.users is None:
            return True
        if principal.session is not None:
            return principal.session in self._sessions.values() and self._holds(principal.session)
        return principal.token is not None and self.users.of_token(principal.token) == principal.user

    def _known(self, cookie: str | None, authorization: str | None) -> Principal | None:
        if self.users is None:
            return Principal(LOCAL)
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            user = self.users.of_token(token.strip()) if scheme.lower() == "bearer" else None
            return None if user is None else Principal(user, token=token.strip())
        session = self._sessions.get(_digest(cookie)) if cookie else None
        if session is None or not self._holds(session):
            return None
        session.used_at = _now()
        return Principal(session.user, session)

    def _holds(self, session: Session) -> bool:
        assert self.users is not None
        user = self.users.all().get(session.user)
        young = _now() - session.used_at < self._settings.session_s
        return young and user is not None and user.password == session.password

    def _drop_old(self) -> None:
        self._sessions = {key: session for key, session in self._sessions.items() if self._holds(session)}


def _too_often(wait_s: float) -> RefusedError:
    return RefusedError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"too many requests; try again in {math.ceil(wait_s)} s",
        {"Retry-After": str(math.ceil(wait_s))},
    )


def _now() -> float:
    return time.monotonic()


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
