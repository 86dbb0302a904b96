"""Users: a file with hashed passwords and tokens, which `jcs user` writes and the service reads.

Passwords are hashed by Argon2id. Tokens are 256 random bits, so a plain SHA-256 of them tells nobody anything.
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
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from jcs_ct.errors import UsageError

VERSION = 1
PASSWORD_LENGTH = 10
_NAME_LENGTH = 64
_RESERVED = frozenset({"pacs", "local"})
"""Owners of jobs that are no users: the DICOM node, and whoever sits at the computer."""
_TOKEN = "jcs_"

log = logging.getLogger("jcs_ct.service")

_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_hex())
"""What the password of an unknown user is held against, so that it takes as long."""


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


class Users:
    """The users of a file, read again when it changes.

    Args:
        path: The file.

    Raises:
        UsageError: It is missing, damaged, or holds nobody.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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
        UsageError: It is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}")
        return {
            name: User(user["password"], tuple(Token(**token) for token in user["tokens"]))
            for name, user in document["users"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} cannot be read as users ({error}); expected a file that jcs user add wrote"
        ) from error


def add_user(path: Path, name: str, password: str) -> bool:
    """Add a user, or give one another password.

    Returns:
        Whether the user is new.

    Raises:
        UsageError: The name or the password will not do.
    """
    _check_name(name)
    if len(password) < PASSWORD_LENGTH:
        raise UsageError(f"the password has {len(password)} characters, expected at least {PASSWORD_LENGTH}")
    with _changing(path) as users:
        known = users.get(name)
        users[name] = User(_hasher.hash(normal(password)), known.tokens if known else ())
        return known is None


def remove_user(path: Path, name: str) -> None:
    """Remove a user; what they are logged in to ends at once.

    Raises:
        UsageError: There is none of this name.
    """
    with _changing(path) as users:
        _find(users, name)
        del users[name]


def add_token(path: Path, name: str) -> str:
    """Make a token for a user's programs.

    Returns:
        The token, which is not kept.

    Raises:
        UsageError: There is no such user.
    """
    token = _TOKEN + secrets.token_urlsafe(32)
    with _changing(path) as users:
        user = _find(users, name)
        made = Token(secrets.token_hex(4), hashlib.sha256(token.encode()).hexdigest(), time.time())
        users[name] = User(user.password, (*user.tokens, made))
    return token


def revoke_token(path: Path, name: str, token_id: str) -> None:
    """Have a token worth nothing.

    Raises:
        UsageError: There is no such user or token.
    """
    with _changing(path) as users:
        user = _find(users, name)
        left = tuple(token for token in user.tokens if token.id != token_id)
        if len(left) == len(user.tokens):
            raise UsageError(f"{name} has no token {token_id!r}; jcs user list shows those that there are")
        users[name] = User(user.password, left)


def _check_name(name: str) -> None:
    plain = all(character.isalnum() or character in "._@ -" for character in name)
    if not plain or name != name.strip() or not 1 <= len(name) <= _NAME_LENGTH or name in _RESERVED:
        raise UsageError(
            f"found the user name {name!r}, expected 1 to {_NAME_LENGTH} letters, digits, spaces or . _ @ -, and none "
            f"of {', '.join(sorted(_RESERVED))}"
        )


def _find(users: dict[str, User], name: str) -> User:
    if name not in users:
        raise UsageError(f"there is no user {name!r}; jcs user list shows those that there are")
    return users[name]


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, User]]:
    """The users, written when the block has ended well; one change at a time, and each as a whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = read_users(path) if path.exists() else {}
            yield users
            _write(path, users)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); give another file") from error


def _write(path: Path, users: dict[str, User]) -> None:
    document = {"version": VERSION, "users": {name: asdict(user) for name, user in sorted(users.items())}}
    partial = path.parent / f".{path.name}.partial"
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
