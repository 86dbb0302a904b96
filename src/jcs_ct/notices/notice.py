"""`Notice`: one thing that the system says about an input, a result, or the limits of either.

A notice is data: a code, a severity, and the values behind the sentence. The sentence itself is made at the edge
(command line, HTML, PDF, SR, page, CSV) from the one table in `catalog`. Code that needs to know what was said asks for
the code; nothing parses sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

Value = str | int | float | bool | None | tuple["Value", ...]
"""What a notice may hold: plain values that JSON can carry."""


class Severity(StrEnum):
    """How much a notice matters to the reader of a result."""

    INFO = "info"
    """Worth knowing; changes nothing."""
    WARNING = "warning"
    """Limits how far the result can be relied on."""
    REFUSAL = "refusal"
    """The reason why there is no verdict."""


@dataclass(frozen=True)
class Notice:
    """One thing that is said, as data. Make one with `catalog.notice`, which checks it against the table."""

    code: str
    """Stable name, such as `slices-left-out`; documented in docs/notices.md."""
    severity: Severity
    values: Mapping[str, Value] = field(default_factory=dict)
    """What the sentence is made of, by name."""
    private: frozenset[str] = frozenset()
    """Names of values that may identify a person or a site: file names, UIDs, free text of headers."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def __hash__(self) -> int:
        return hash((self.code, self.severity, tuple(sorted(self.values.items(), key=lambda item: item[0]))))

    def __reduce__(self) -> tuple[Any, ...]:
        return Notice, (self.code, self.severity, dict(self.values), self.private)  # mappingproxy cannot be pickled

    def with_severity(self, severity: Severity) -> Notice:
        """The same fact where it matters more or less."""
        return replace(self, severity=severity)

    def deidentified(self) -> Notice:
        """Without its private values; code, severity and all other values stay."""
        return replace(self, values={name: value for name, value in self.values.items() if name not in self.private})
