"""What a sign-off may hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jcs_ct.diagnosis.review import Judgement, Review, now
from jcs_ct.errors import UsageError

AT = datetime(2026, 11, 24, 3, 5, 9, tzinfo=UTC)


def test_time_is_told_in_utc_and_whole_seconds() -> None:
    assert Review("anna", AT, Judgement.ACCEPTED).when == "2026-11-24T03:05:09Z"
    assert now().microsecond == 0
    with pytest.raises(ValueError, match="expected a time in UTC"):
        Review("anna", AT.replace(tzinfo=None), Judgement.ACCEPTED)


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "Doe^Jane", "a\\b", "a=b", "line\nbreak", "bell\x07"])
def test_what_is_no_name_of_a_person_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 64 printable characters"):
        Review(name, AT, Judgement.ACCEPTED)


def test_names_of_other_scripts_and_comments_of_several_lines_are_taken() -> None:
    review = Review("Люба Ğül 李", AT, Judgement.REJECTED, "first line\n\tsecond\r\nthird <b>")
    assert review.reviewer == "Люба Ğül 李"


@pytest.mark.parametrize(("comment", "reason"), [("x" * 4001, "at most 4000"), ("a\x00b", "control characters")])
def test_what_is_no_comment_is_refused(comment: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Review("anna", AT, Judgement.ACCEPTED, comment)
