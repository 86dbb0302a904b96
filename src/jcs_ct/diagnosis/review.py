"""What a person says of a result: accepted or rejected, by whom, when and why. Plain data, as a diagnosis is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from jcs_ct.errors import UsageError

NAME_LENGTH = 64
"""Characters of a name: as many as DICOM's Person Name takes (PS3.5 6.2)."""
COMMENT_LENGTH = 4000
_NO_NAME = "\\^="
"""Characters that part a Person Name into several, or into its components."""


class Judgement(StrEnum):
    """Whether a person stands by a result."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Review:
    """A sign-off.

    Raises:
        UsageError: A name or a comment is empty where it must not be, too long, or not printable.
    """

    reviewer: str
    at: datetime
    """UTC, in whole seconds."""
    judgement: Judgement
    comment: str = ""

    def __post_init__(self) -> None:
        check_name(self.reviewer)
        check_comment(self.comment)
        if self.at.tzinfo is not UTC or self.at.microsecond:
            raise ValueError(f"expected a time in UTC and whole seconds, found {self.at!r}")

    @property
    def when(self) -> str:
        """The time as ISO 8601."""
        return in_iso(self.at)


def now() -> datetime:
    """As a review takes it."""
    return datetime.now(UTC).replace(microsecond=0)


def in_iso(at: datetime) -> str:
    """A time in UTC as ISO 8601 with a Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_name(name: str) -> str:
    """A user's name as results may carry it.

    Raises:
        UsageError: it is none.
    """
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable() or set(name) & set(_NO_NAME):
        raise UsageError(
            f"found the user name {name[: 2 * NAME_LENGTH]!r}, expected 1 to {NAME_LENGTH} printable characters "
            f"without {' '.join(_NO_NAME)}"
        )
    return name


def check_comment(comment: str) -> str:
    """A comment as results may carry it: lines of printable characters.

    Raises:
        UsageError: it is none.
    """
    if len(comment) > COMMENT_LENGTH:
        raise UsageError(f"the comment has {len(comment)} characters, expected at most {COMMENT_LENGTH}: shorten it")
    if not all(line.isprintable() for line in comment.replace("\t", " ").splitlines()):
        raise UsageError("the comment holds control characters; expected lines of text")
    return comment
