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

from anyio.to_thread import run_sync

from jcs_ct.service.breached import BreachedPasswords
from jcs_ct.service.connections import site_of
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.rates import Rates
from jcs_ct.service.settings import ServiceSettings
from jcs_ct.service.turns import Turns
from jcs_ct.service.users import Role, Users

LOCAL = "local"
"""Who sits at the computer."""
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HASHING = 2
"""Passwords that are checked at a time: each takes 64 MiB."""
_HASHING_WAITING = 8
"""Logins from one address that may wait for that."""


@dataclass
class Session:
    """A browser that has logged in."""

    id: str
    """What its owner calls it by; it opens nothing."""
    user: str
    csrf: str
    password: str
    """Hash that the user had then: another password ends all sessions."""
    address: str
    began_at: float
    """Seconds since 1970, to be shown."""
    began: float
    used: float
    """Seconds that only grow."""


@dataclass(frozen=True)
class Principal:
    """Who is asking, by what they are known, and what they may do."""

    user: str
    roles: frozenset[Role] = frozenset()
    session: Session | None = None
    token: str | None = None

    def refuse_without(self, role: Role) -> None:
        """See that somebody may do something.

        Raises:
            RefusedError: They have not this role.
        """
        if role not in self.roles:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, f"this needs the role {role!r}, which you have not: ask who administers the users"
            )


class Access:
    """Who may come in.

    Args:
        settings: Of the service.

    Raises:
        UsageError: The file of users, or that of breached passwords, cannot be read.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        breached = None if settings.breached_passwords is None else BreachedPasswords(settings.breached_passwords)
        self.users = None if settings.users is None else Users(settings.users, breached)
        self._settings = settings
        self._sessions: dict[str, Session] = {}
        self._failures = Rates(settings.logins_per_minute / 60, settings.logins_per_minute)
        self._requests = Rates(settings.requests_per_s, settings.request_burst)
        self._hashing = Turns(_HASHING, 1, _HASHING_WAITING)
        self._local_csrf = secrets.token_urlsafe(32)

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers take one of this prefix over TLS and for this host only."""
        return cookie_name(self._settings)

    def principal(self, cookies: Mapping[str, str], headers: Mapping[str, str], address: str) -> Principal:
        """Who is asking.

        Raises:
            RefusedError: Nobody who is known, or too often.
        """
        principal = self._known(cookies.get(self.cookie), headers.get("Authorization"))
        wait_s = self._requests.take(f"user {principal.user}" if principal else f"from {site_of(address)}")
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
        # The address is judged, and not the name: else anybody could lock anybody out. Taken before the password is
        # looked at, so that tries at the same time count, too.
        site = site_of(address)
        if wait_s := self._failures.take(site):
            raise _too_often(wait_s)
        async with self._hashing.turn(site):
            found = await run_sync(self.users.of_password, user, password)
        if found is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "no user of this name has this password")
        self._failures.give_back(site)
        self._drop_old(user)
        cookie, now = secrets.token_urlsafe(32), _now()
        session = Session(
            secrets.token_hex(4), user, secrets.token_urlsafe(32), found.password, address, time.time(), now, now
        )
        self._sessions[_digest(cookie)] = session
        return cookie, Principal(user, frozenset(found.roles), session)

    def log_out(self, cookies: Mapping[str, str]) -> None:
        """End a session."""
        self._sessions.pop(_digest(cookies.get(self.cookie, "")), None)

    def sessions_of(self, user: str) -> list[Session]:
        """Sessions of a user that go on, the latest login first."""
        found = [session for session in self._sessions.values() if session.user == user and self._holds(session)]
        return sorted(found, key=lambda session: session.began, reverse=True)

    def end_sessions(self, user: str, session_id: str | None = None, but: Session | None = None) -> int:
        """End a session of a user, or all of them but one; how many ended."""
        ending = [
            key
            for key, session in self._sessions.items()
            if session.user == user and session_id in (None, session.id) and session is not but
        ]
        for key in ending:
            del self._sessions[key]
        return len(ending)

    async def change_password(self, principal: Principal, old: str, new: str, address: str) -> None:
        """Give a user another password; their sessions end and their tokens are revoked.

        Raises:
            RefusedError: The old one is wrong, or it was tried too often.
            UsageError: The new one will not do.
        """
        users = await self.confirm(principal, old, address)
        async with self._hashing.turn(site_of(address)):
            await run_sync(users.change_password, principal.user, new)
        self.end_sessions(principal.user)

    async def confirm(self, principal: Principal, password: str, address: str) -> Users:
        """See that the user is asking, and not whoever found their session: by the password once more.

        Returns:
            The users, as there are some.

        Raises:
            RefusedError: There are no users, the password is wrong, or it was tried too often.
        """
        if self.users is None:
            raise RefusedError(HTTPStatus.CONFLICT, "there are no users; the service is for this computer")
        site = site_of(address)
        if wait_s := self._failures.take(site):
            raise _too_often(wait_s)
        async with self._hashing.turn(site):
            found = await run_sync(self.users.of_password, principal.user, password)
        if found is None:
            raise RefusedError(HTTPStatus.FORBIDDEN, "your password is another one; give the one that you log in with")
        self._failures.give_back(site)
        return self.users

    def still_in(self, principal: Principal) -> bool:
        """Whether somebody who was let in would still be: for what lasts long."""
        if self.users is None:
            return True
        if principal.session is not None:
            session = principal.session
            return any(each is session for each in self._sessions.values()) and self._holds(session)
        return principal.token is not None and self.users.of_token(principal.token) == principal.user

    def _known(self, cookie: str | None, authorization: str | None) -> Principal | None:
        if self.users is None:
            return Principal(LOCAL, frozenset(Role))
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            user = self.users.of_token(token.strip()) if scheme.lower() == "bearer" else None
            return None if user is None else Principal(user, self._roles(user), token=token.strip())
        session = self._sessions.get(_digest(cookie)) if cookie else None
        if session is None or not self._holds(session):
            return None
        session.used = _now()
        return Principal(session.user, self._roles(session.user), session)

    def _roles(self, user: str) -> frozenset[Role]:
        found = self.users.all().get(user) if self.users is not None else None
        return frozenset() if found is None else frozenset(found.roles)

    def _holds(self, session: Session) -> bool:
        assert self.users is not None
        user, now = self.users.all().get(session.user), _now()
        young = now - session.began < self._settings.session_s and now - session.used < self._settings.session_idle_s
        return young and user is not None and user.password == session.password

    def _drop_old(self, user: str) -> None:
        """Make room for one more session of a user."""
        self._sessions = {key: session for key, session in self._sessions.items() if self._holds(session)}
        own = sorted((session.used, key) for key, session in self._sessions.items() if session.user == user)
        for _, key in own[: max(0, len(own) + 1 - self._settings.max_sessions)]:
            del self._sessions[key]


def cookie_name(settings: ServiceSettings) -> str:
    """Of the cookie of a session."""
    return "__Host-jcs" if settings.secure else "jcs-session"


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
