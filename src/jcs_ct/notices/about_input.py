"""What is said about an input: what was left out, what is missing, what cannot be judged."""

from __future__ import annotations

from jcs_ct.notices.entry import Entry

ABOUT_INPUT: dict[str, Entry] = {}
