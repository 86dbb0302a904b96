"""What is said about a result and how far it can be relied on."""

from __future__ import annotations

from jcs_ct.notices.entry import Entry

ABOUT_RESULT: dict[str, Entry] = {}
