"""Users: a file with hashed passwords, roles and tokens, which `jcs user` writes and the service reads.

Passwords are hashed by Argon2id. Tokens are 256 random bits, so a plain SHA-256 of them tells nobody anything. Names of
users who were removed stay in the file: a study belongs to a name, and nobody inherits it by taking that name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from jcs_ct.errors import UsageError
from jcs_ct.service.breached import BreachedPasswords

VERSION = 2
_READABLE = (1, 2)
PASSWORD_LENGTH = 10
_NAME_LENGTH = 64
_RESERVED = frozenset({"pacs", "local"})
"""Owners of jobs that are no users: the DICOM node, and whoever sits at the computer."""
_TOKEN = "jcs_"
_GUESSED_BELOW = 2
"""Of zxcvbn's scores from 0 to 4: a password below is found within a million guesses."""
_JUDGED_LENGTH = 72
"""Characters that zxcvbn looks at: what it takes grows with the square of them."""
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

log = logging.getLogger("jcs_ct.service")

_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_hex())
"""What the password of an unknown user is held against, so that it takes as long."""


class Role(StrEnum):
    """What a user may do beyond submitting studies and looking at them."""

    SIGN = "sign"
    """Correct results and sign them off."""
    DELETE = "delete"
    """Delete studies, and restore those that were deleted."""
    ADMINISTER = "administer"
    """See who uses the service, and end sessions of others."""


USUAL_ROLES = (Role.SIGN, Role.DELETE)


@dataclass(frozen=True)
class Token:
    """What a program is known by."""

    id: str
    sha256: str
    made_at: float


@dataclass(frozen=True)
class User:
    """Somebody who may log in."""

    password: str
    """Hash."""
    tokens: tuple[Token, ...] = field(default=())
    roles: tuple[Role, ...] = USUAL_ROLES


@dataclass
class _Book:
    """What the file holds."""

    users: dict[str, User] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    """Names of users who were removed."""


class Users:
    """The users of a file, read again when it changes.

    Args:
        path: The file.
        breached: Passwords that are refused when one is changed, beyond those that are guessed first.

    Raises:
        UsageError: It is missing, damaged, or holds nobody.
    """

    def __init__(self, path: Path, breached: BreachedPasswords | None = None) -> None:
        self._path = path
        self._breached = breached
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._users = read_users(path)
        if not self._users:
            raise UsageError(f"{path} holds no users: add one with jcs user add NAME --users {path}")

    def all(self) -> dict[str, User]:
        """As the file now says; nobody where it cannot be read any more."""
        with self._lock:
            state = self._state()
            if state is None or state != self._seen:
                self._users, self._seen = self._read(), state
            return self._users

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> dict[str, User]:
        try:
            return read_users(self._path)
        except UsageError as error:
            log.error("users: %s", error)
            return {}

    def of_password(self, name: str, password: str) -> User | None:
        """The user whose password it is; takes as long where there is none."""
        user = self.all().get(name)
        return user if _fits(user.password if user else _nobody, password) and user else None

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password.

        Raises:
            UsageError: It will not do, or there is no such user.
        """
        if name not in self.all():
            raise UsageError(f"there is no user {name!r} any more")
        add_user(self._path, name, password, breached=self._breached)

    def revoke_token(self, name: str, token_id: str) -> None:
        """Have a token worth nothing.

        Raises:
            UsageError: There is no such user or token.
        """
        revoke_token(self._path, name, token_id)

    def of_token(self, token: str) -> str | None:
        """Name of the user whose token it is."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for name, user in self.all().items():
            for each in user.tokens:
                if hmac.compare_digest(each.sha256, digest):
                    found = name
        return found


def _fits(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, normal(password))
    except (VerificationError, InvalidHashError):
        return False


def normal(password: str) -> str:
    """A password as it is hashed: the same whatever keyboard it was typed on."""
    return unicodedata.normalize("NFC", password)


def read_users(path: Path) -> dict[str, User]:
    """Read a file of users.

    Raises:
        UsageError: It is missing or damaged, or others may write it.
    """
    return _read_book(path).users


def _read_book(path: Path) -> _Book:
    _refuse_open_to_others(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] not in _READABLE:
            raise ValueError(f"version {document['version']}")
        users = {
            name: User(
                user["password"],
                tuple(Token(**token) for token in user["tokens"]),
                tuple(Role(role) for role in user.get("roles", USUAL_ROLES)),
            )
            for name, user in document["users"].items()
        }
        return _Book(users, set(document.get("retired", ())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} cannot be read as users ({error}); expected a file that jcs user add wrote"
        ) from error


def _refuse_open_to_others(path: Path) -> None:
    """Whoever may write the file may make themselves a user."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # told where it is read
    if mode & _WRITABLE_BY_OTHERS:
        raise UsageError(
            f"{path} can be written by other users of this computer (mode {mode & 0o777:03o}); expected one that only "
            f"its owner can write: chmod 600 {path}"
        )


def add_user(
    path: Path,
    name: str,
    password: str,
    roles: tuple[Role, ...] | None = None,
    breached: BreachedPasswords | None = None,
) -> bool:
    """Add a user, or give one another password, which ends all sessions and revokes all tokens.

    Args:
        path: The file.
        name: Of the user.
        password: At least ten characters, and none of those that are guessed first.
        roles: `USUAL_ROLES` for a new user if None; those that a known one has.
        breached: Further passwords that are refused.

    Returns:
        Whether the user is new.

    Raises:
        UsageError: The name or the password will not do.
    """
    _check_name(name)
    check_password(name, password, breached)
    with _changing(path) as book:
        if name in book.retired:
            raise UsageError(
                f"{name} was a user who was removed, and studies of theirs may still be there; expected a name that "
                "nobody has had: choose another one"
            )
        known = book.users.get(name)
        kept = USUAL_ROLES if known is None else known.roles
        book.users[name] = User(_hasher.hash(normal(password)), (), kept if roles is None else roles)
        return known is None


def check_password(name: str, password: str, breached: BreachedPasswords | None = None) -> None:
    """See that a password is not guessed soon.

    Raises:
        UsageError: It is short, or common, or much like the name, or known from a breach.
    """
    if len(password) < PASSWORD_LENGTH:
        raise UsageError(f"the password has {len(password)} characters, expected at least {PASSWORD_LENGTH}")
    judged = zxcvbn(normal(password)[:_JUDGED_LENGTH], user_inputs=[name, "jcs", "covid", "radiology"])
    if judged["score"] < _GUESSED_BELOW:
        raise UsageError(
            "the password is among those that are guessed first; expected several words that do not belong together"
        )
    if breached is not None and (password in breached or normal(password) in breached):
        raise UsageError("the password is known from a breach elsewhere; expected one that is used nowhere else")


def set_roles(path: Path, name: str, roles: tuple[Role, ...]) -> None:
    """Say what a user may do.

    Raises:
        UsageError: There is none of this name.
    """
    with _changing(path) as book:
        book.users[name] = replace(_find(book.users, name), roles=roles)


def remove_user(path: Path, name: str) -> None:
    """Remove a user; what they are logged in to ends at once, and nobody else can have the name.

    Raises:
        UsageError: There is none of this name.
    """
    with _changing(path) as book:
        _find(book.users, name)
        del book.users[name]
        book.retired.add(name)


def add_token(path: Path, name: str) -> str:
    """Make a token for a user's programs.

    Returns:
        The token, which is not kept.

    Raises:
        UsageError: There is no such user.
    """
    token = _TOKEN + secrets.token_urlsafe(32)
    with _changing(path) as book:
        user = _find(book.users, name)
        made = Token(secrets.token_hex(4), hashlib.sha256(token.encode()).hexdigest(), time.time())
        book.users[name] = replace(user, tokens=(*user.tokens, made))
    return token


def revoke_token(path: Path, name: str, token_id: str) -> None:
    """Have a token worth nothing.

    Raises:
        UsageError: There is no such user or token.
    """
    with _changing(path) as book:
        user = _find(book.users, name)
        left = tuple(token for token in user.tokens if token.id != token_id)
        if len(left) == len(user.tokens):
            raise UsageError(f"{name} has no token {token_id!r}; jcs user list shows those that there are")
        book.users[name] = replace(user, tokens=left)


def _check_name(name: str) -> None:
    plain = all(character.isalnum() or character in "._@ -" for character in name)
    plain = plain and not _turns_direction(name) and name == name.strip()
    if not plain or not 1 <= len(name) <= _NAME_LENGTH or name in _RESERVED:
        raise UsageError(
            f"found the user name {name!r}, expected 1 to {_NAME_LENGTH} letters, digits, spaces or . _ @ -, and none "
            f"of {', '.join(sorted(_RESERVED))}"
        )


def _turns_direction(name: str) -> bool:
    """Whether a name is written from the left and from the right: it could be shown like another one."""
    kinds = {unicodedata.bidirectional(character) for character in name}
    return "L" in kinds and bool(kinds & {"R", "AL"})


def _find(users: dict[str, User], name: str) -> User:
    if name not in users:
        raise UsageError(f"there is no user {name!r}; jcs user list shows those that there are")
    return users[name]


@contextmanager
def _changing(path: Path) -> Iterator[_Book]:
    """The users, written when the block has ended well; one change at a time, and each as a whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            book = _read_book(path) if path.exists() else _Book()
            yield book
            _write(path, book)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); give another file") from error


def _write(path: Path, book: _Book) -> None:
    users = {name: asdict(user) for name, user in sorted(book.users.items())}
    document = {"version": VERSION, "users": users, "retired": sorted(book.retired)}
    partial = path.parent / f".{path.name}.partial"
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
