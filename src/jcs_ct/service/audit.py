"""The audit trail: who did what to which study, and how it ended. One JSON object a line, only ever appended to.

It holds no patient data and no names of files: jobs are told by their ids, which are random.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger("jcs_ct.service")


class AuditTrail:
    """An audit trail in a file.

    Args:
        path: The file; made where missing, readable to this user only.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        self._lock = threading.Lock()

    def write(self, who: str | None, what: str, job: str | None, status: int, address: str, lasting: bool) -> None:
        """Add a line.

        Args:
            who: User; None where nobody was known.
            what: Method and route, without what is filled in.
            job: Its id.
            status: Of the response.
            address: Of the client.
            lasting: Whether to wait until it would outlast a loss of power.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "who": who, "what": what, "job": job, "status": status, "from": address}
        try:
            with self._lock:  # one call of write a line: lines are never mixed
                os.write(self._handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
                if lasting:
                    os.fsync(self._handle)
        except OSError as error:
            log.error("audit trail: cannot be written (%s)", error.strerror)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)
