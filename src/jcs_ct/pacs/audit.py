"""The audit trail: one line of JSON for each thing that somebody did, appended and never changed.

It says who (AE title and address of the peer, or the command), when, what, which job, and how it ended. Nothing of the
patient, no UID: studies go by the digest of their UID, as their folders do.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger("jcs_ct.pacs")


class Audit:
    """The trail in one file, for all threads and processes; the file is made with the first line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def note(self, event: str, **facts: Any) -> None:
        """Append what has happened; a full disk costs the line, and is told in the log."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **{k: v for k, v in facts.items() if v is not None}})
        try:
            with self._lock:
                handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    os.write(handle, (line + "\n").encode())
                finally:
                    os.close(handle)
        except OSError as error:
            log.error("audit trail: a line of %s is lost (%s)", event, error.strerror)
