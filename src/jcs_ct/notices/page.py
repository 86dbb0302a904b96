"""`docs/notices.md`, made from the catalog: `python -m jcs_ct.notices.page > docs/notices.md`, or `make docs`."""

from __future__ import annotations

import string
import sys
from collections.abc import Mapping

from jcs_ct.notices.about_files import ABOUT_FILES
from jcs_ct.notices.about_input import ABOUT_INPUT
from jcs_ct.notices.about_result import ABOUT_RESULT
from jcs_ct.notices.entry import Entry

_HEAD = """# Notices

Everything that JCS says about an input or a result is a notice: a code, a severity and values. `result.json`, HTML,
PDF, SR, `notices.csv` and the web page show the same notices. Programs should test the code: codes are stable, texts
are not.

| severity | meaning |
|---|---|
| `info` | Worth knowing; changes nothing. |
| `warning` | Limits how far the result can be relied on. |
| `refusal` | The reason why there is no verdict. |

A notice may carry another severity than the one listed where it matters more or less. `--deidentify` keeps every
notice and drops its private values, which are marked with a star below.

This page is made from the catalog by `make docs`; do not edit it.
"""

_SECTIONS: tuple[tuple[str, Mapping[str, Entry]], ...] = (
    ("Files and series of an input", ABOUT_FILES),
    ("The study that was read", ABOUT_INPUT),
    ("The result", ABOUT_RESULT),
)


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *(_section(title, table) for title, table in _SECTIONS)])


def _section(title: str, table: Mapping[str, Entry]) -> str:
    rows = [
        f"| `{code}` | {entry.severity} | {_cell(entry.meaning)} | {_cell(entry.advice) or 'Nothing.'} | "
        f"{_cell(_shown(entry))} |"
        for code, entry in sorted(table.items())
    ]
    head = "| code | severity | meaning | what to do | text |\n|---|---|---|---|---|"
    return "\n".join([f"## {title}", "", head, *rows, ""])


def _shown(entry: Entry) -> str:
    """The text with the names of its values in place of them."""
    parts = []
    for before, name, spec, _ in string.Formatter().parse(entry.text):
        noun = f" {spec.partition('|')[2]}" if spec and "|" in spec else ""
        star = "\\*" if name in entry.private else ""
        parts.append(f"{before}*{name}*{star}{noun}" if name else before)
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
