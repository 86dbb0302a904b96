"""Passwords that are known from breaches: a file that the site brings, as the service reaches no network.

One SHA-1 a line in hexadecimal, sorted, with or without a count after a colon: what the downloader of Have I Been Pwned
writes. It may have 40 GB: a password takes some forty reads.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from jcs_ct.errors import UsageError

_DIGEST = re.compile(rb"[0-9A-Fa-f]{40}(:\d+)?\s*")
_LINE_BYTES = 256


class BreachedPasswords:
    """The passwords of a file.

    Args:
        path: The file.

    Raises:
        UsageError: It cannot be read, or does not begin with a SHA-1.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as stream:
                first = stream.readline(_LINE_BYTES)
        except OSError as error:
            raise self._unreadable(error) from error
        if not _DIGEST.fullmatch(first):
            raise UsageError(f"{path}: the first line is no SHA-1; expected sorted SHA-1 sums, one a line")

    def __contains__(self, password: str) -> bool:
        """Whether a password is among them.

        Raises:
            UsageError: The file cannot be read any more.
        """
        wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper().encode()
        try:
            return self._find(wanted)
        except OSError as error:
            raise self._unreadable(error) from error

    def _find(self, wanted: bytes) -> bool:
        with self._path.open("rb") as stream:
            low, high = 0, os.fstat(stream.fileno()).st_size
            # `low` is where a line begins; all lines that begin at `high` or later are not below the wanted one.
            while low < high:
                middle = (low + high) // 2
                if middle:
                    stream.seek(middle - 1)
                    stream.readline(_LINE_BYTES)
                else:
                    stream.seek(0)
                line = stream.readline(_LINE_BYTES)
                if not line or line[:40].upper() >= wanted:
                    high = middle
                else:
                    low = stream.tell()
            stream.seek(low)
            return stream.readline(_LINE_BYTES)[:40].upper() == wanted

    def _unreadable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self._path}: breached passwords cannot be read ({error.strerror}); expected a file of them"
        )
