"""The one table of what can be said: for each code its severity, its text, and what the reader can do."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from typing import Any

from jcs_ct.notices.about_files import ABOUT_FILES
from jcs_ct.notices.about_input import ABOUT_INPUT
from jcs_ct.notices.about_result import ABOUT_RESULT
from jcs_ct.notices.entry import Entry
from jcs_ct.notices.notice import Notice, Severity, Value
from jcs_ct.notices.printable import printable

_SHOWN = 3
"""Members of a tuple that a text names; the values of a notice hold all of them."""


class _TextFormatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if "|" in format_spec:
            singular, plural = format_spec.split("|")
            return f"{value} {singular if value == 1 else plural}"
        if isinstance(value, tuple):
            shown = ", ".join(self.format_field(each, format_spec) for each in value[:_SHOWN])
            return shown if len(value) <= _SHOWN else f"{shown} and {len(value) - _SHOWN} more"
        if isinstance(value, str):
            value = printable(value)
        return str(super().format_field(value, format_spec))


def notice(code: str, severity: Severity | None = None, /, **values: Value) -> Notice:
    """Make a notice of the table.

    Args:
        code: a key of `CATALOG`.
        severity: in place of the one in the table.
        **values: what the text needs, and whatever else a program may want to know.

    Raises:
        ValueError: the table has no such code, or the text needs a value that is not given.
    """
    entry = CATALOG.get(code)
    if entry is None:
        raise ValueError(f"expected a code of the notice catalog, found {code!r}")
    if missing := entry.names - set(values):
        raise ValueError(f"notice {code} needs the values {', '.join(sorted(missing))}")
    return Notice(code, severity or entry.severity, values, frozenset(entry.private) & set(values))


def text(said: Notice) -> str:
    """The sentence of a notice. Private values that were taken away are replaced by general words."""
    entry = CATALOG[said.code]
    return _TextFormatter().vformat(entry.text, (), {**entry.private, **said.values})


def texts(said: Iterable[Notice]) -> tuple[str, ...]:
    """The sentence of each notice."""
    return tuple(text(each) for each in said)


def as_document(said: Notice) -> dict[str, Any]:
    """A notice as JSON holds it, with its sentence."""
    return {"code": said.code, "severity": str(said.severity), "values": dict(said.values), "text": text(said)}


def from_document(fields: Mapping[str, Any]) -> Notice:
    """The notice that `as_document` wrote. Private values that were taken away stay away.

    Raises:
        KeyError: a field is missing, or the table has no such code.
        ValueError: there is no such severity.
    """
    values = {name: _from_json(value) for name, value in fields["values"].items()}
    private = frozenset(CATALOG[fields["code"]].private) & set(values)
    return Notice(fields["code"], Severity(fields["severity"]), values, private)


def _from_json(value: Any) -> Value:
    return tuple(_from_json(each) for each in value) if isinstance(value, list) else value


def _joined(*tables: Mapping[str, Entry]) -> dict[str, Entry]:
    joined: dict[str, Entry] = {}
    for table in tables:
        if twice := joined.keys() & table.keys():
            raise ValueError(f"these codes stand twice in the notice catalog: {', '.join(sorted(twice))}")
        joined |= table
    return joined


CATALOG: Mapping[str, Entry] = _joined(ABOUT_FILES, ABOUT_INPUT, ABOUT_RESULT)
