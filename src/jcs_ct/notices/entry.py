"""One row of the notice catalog."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from jcs_ct.notices.notice import Severity


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    `text` is a format string over the names of a notice's values. Two notations are added to Python's:
    `{count:slice|slices}` writes the number and the noun that agrees with it. Of a tuple, the
    first three members are named and the others counted.
    """

    severity: Severity
    text: str
    meaning: str
    """What the code stands for, for docs/notices.md."""
    advice: str = ""
    """What the reader can do about it; empty where nothing need be done."""
    private: Mapping[str, str] = field(default_factory=dict)
    """Private values by name, with the words that stand in for each in a de-identified text."""
    short: str = ""
    """A few words for the worklist; empty unless the notice casts doubt on the verdict."""

    @property
    def names(self) -> frozenset[str]:
        """Names of the values that the text needs."""
        return frozenset(name for _, name, _, _ in string.Formatter().parse(self.text) if name)
