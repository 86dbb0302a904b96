"""What tests ask notices: their codes, and the values of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jcs_ct.notices import Notice
from jcs_ct.notices.notice import Value


def codes(notices: Iterable[Notice]) -> list[str]:
    """The codes, in their order."""
    return [one.code for one in notices]


def values_of(notices: Iterable[Notice], code: str) -> Mapping[str, Value]:
    """The values of the only notice of this code."""
    (found,) = (one for one in notices if one.code == code)
    return found.values
