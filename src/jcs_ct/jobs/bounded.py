"""Text of strangers, cut to what a screen shows before it is kept.

What a study says of itself, and errors that quote it, may be of any length and may hold characters that turn the
direction of writing or move a cursor. All of it ends up in worklists that everybody reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAME_LENGTH = 200
REASON_LENGTH = 2000
_STAGE_LENGTH = 200
_VALUE_LENGTH = 324
"""The longest text that DICOM shows in one line: a name (PN) of five components in three groups of 64 characters, and
what stands between them. Descriptions (LO) have 64."""
_ITEMS = 64
_DEPTH = 4
_SUMMARY_BYTES = 16 * 1024


def one_line(text: str, length: int = _VALUE_LENGTH) -> str:
    """A text as one line of printable characters; marks that change the direction of writing go, too."""
    text = text[: 16 * length].encode("utf-8", "replace").decode("utf-8")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:length]


def reason(text: str | None) -> str | None:
    """Why a job ended as it did."""
    return None if text is None else one_line(text, REASON_LENGTH)


def stage(text: str) -> str:
    """What is being done."""
    return one_line(text, _STAGE_LENGTH)


def summary(values: Mapping[str, Any]) -> str:
    """What a worklist shows of a result, as JSON; only the verdict where the whole would be too long."""
    text = json.dumps(_plain(values, _DEPTH))
    if len(text) <= _SUMMARY_BYTES:
        return text
    kept = ("verdict", "probability", "revision", "signed")
    return json.dumps(_plain({name: values[name] for name in kept if name in values}, 1))


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if depth and isinstance(value, Mapping):
        return {one_line(str(name), 64): _plain(value[name], depth - 1) for name in list(value)[:_ITEMS]}
    if depth and isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value[:_ITEMS]]
    return value if value is None or isinstance(value, bool | int | float) else None
