"""Write docs/notices.md, the list of everything that JCS says about an input or a result, from the notice catalog.

python experiments/notices_page.py
"""

from __future__ import annotations

import re
from pathlib import Path

from jcs_ct.notices import CATALOG, Severity

PAGE = Path(__file__).resolve().parents[1] / "docs" / "notices.md"
MEANINGS = {
    Severity.REFUSAL: "The study is not assessable, for this reason.",
    Severity.WARNING: "The result may be wrong or incomplete for this reason.",
    Severity.INFO: "Worth knowing; the result stands.",
}


def as_markdown() -> str:
    """The page."""
    lines = [
        "# Notices", "",
        "Whatever JCS says about an input, a result or its limits is a notice with a code, a severity and values.",
        "Codes are stable, texts may change. `result.json` has all of them; reports, the page and the command line",
        "show their texts. `--deidentify` replaces the values marked as private and keeps the notice. A few notices",
        "have another severity where their cause is worse than usual.", "",
        "Written by `python experiments/notices_page.py` from the catalog in `src/jcs_ct/notices`.",
    ]  # fmt: skip
    for severity, meaning in MEANINGS.items():
        entries = {code: entry for code, entry in CATALOG.items() if entry.severity is severity}
        lines += ["", f"## {severity.name.capitalize()}", "", meaning, ""]
        lines += ["| code | text | meaning | what to do | private |", "|---|---|---|---|---|"]
        for code, entry in entries.items():
            private = ", ".join(f"`{name}`" for name in entry.private)
            cells = (f"`{code}`", shown(entry.text), entry.meaning, entry.advice or "–", private or "–")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def shown(text: str) -> str:
    """A text with the names of its values: `{count:slice is|slices are}` becomes `*count* slices are`."""
    nouns = re.sub(r"\{(\w+):[^{}|]*\|([^{}]*)\}", r"*\1* \2", text)
    return re.sub(r"\{(\w+)(?:![rs])?(?::[^{}]*)?\}", r"*\1*", nouns)


if __name__ == "__main__":
    PAGE.write_text(as_markdown(), encoding="utf-8")
    print(PAGE)
