"""What the node writes into its audit trail: who did what, when, to which job, and how it ended.

Lines hold AE title and address of a peer, or the command. They hold nothing of the patient and no UID: studies go by
the digest of their UID, as their folders do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jcs_ct.jobs.audit import AuditTrail


class Audit:
    """The trail in one file, for all threads and processes; the file is made with the first line."""

    def __init__(self, path: Path) -> None:
        self._trail = AuditTrail(path)

    def note(self, event: str, **facts: Any) -> None:
        """Append what has happened; a full disk costs the line, and is told in the log."""
        self._trail.append(event=event, **{name: value for name, value in facts.items() if value is not None})

    def note_limited(self, event: str, address: str, **facts: Any) -> None:
        """The same for what strangers can cause at will: once a minute for each address, with how often."""
        self._trail.append_limited((event, address), event=event, address=address, **facts)
