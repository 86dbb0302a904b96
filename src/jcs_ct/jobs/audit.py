"""The audit trail: one line of JSON for each thing that somebody did, appended and never changed.

Lines hold no patient data and no names of files. One call of write makes a line, so the lines of several threads and
processes never mix.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger("jcs_ct.audit")

_REPEATED_S = 60.0
_REPEATED_KINDS = 10_000


class AuditTrail:
    """A trail in a file.

    Args:
        path: The file; made with the first line, readable to this user only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._repeated: dict[tuple[str, ...], tuple[float, int]] = {}
        self.broken = False
        """Whether the latest line was lost."""

    def append(self, *, lasting: bool = False, **facts: Any) -> bool:
        """Add a line.

        Args:
            lasting: Whether to wait until the line would outlast a loss of power.
            facts: What is said; what is None stays in the line, as the absence of a name says something.

        Returns:
            Whether the line was written. A full disk costs it, and is told in the log.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, **facts}, ensure_ascii=False)
        try:
            self._write((line + "\n").encode("utf-8", "replace"), lasting)
        except OSError as error:
            self.broken = True
            log.error("audit trail: a line is lost (%s)", error.strerror)
            return False
        self.broken = False
        return True

    def _write(self, data: bytes, lasting: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._lock:
            handle = os.open(self._path, flags, 0o600)
            try:
                if os.write(handle, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if lasting:
                    os.fsync(handle)
            finally:
                os.close(handle)

    def append_limited(self, same: tuple[str, ...], /, **facts: Any) -> None:
        """Add a line of a kind that strangers can cause at will: once a minute, with how often it happened since.

        Args:
            same: What counts as the same.
            facts: As for `append`.
        """
        now = time.monotonic()
        with self._lock:
            if len(self._repeated) >= _REPEATED_KINDS:
                self._repeated.clear()
            said_at, unsaid = self._repeated.get(same, (-_REPEATED_S, 0))
            due = now - said_at >= _REPEATED_S
            self._repeated[same] = (now, 0) if due else (said_at, unsaid + 1)
        if due:
            self.append(**facts, times=unsaid + 1)
