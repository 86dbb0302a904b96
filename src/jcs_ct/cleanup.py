"""Temporary folders of this process, so that a signal can remove them and end it at once.

A handler that raises instead would do so anywhere, within the import machinery, say, whose locks then stay held.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

held: set[Path] = set()
"""Folders that are in use and go with the process."""


class _State:
    unfinished = 0
    """How many pieces of work must be finished before the process may end."""
    status: int | None = None
    """Exit status of an end that waits for these."""


def leave(status: int) -> None:
    """Remove the temporary folders and end the process; once what must be finished is."""
    if _State.unfinished:
        _State.status = status
        return
    for folder in tuple(held):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(status)


@contextmanager
def finished() -> Iterator[None]:
    """Let no signal end the process in the middle: what is moved into place is moved as a whole."""
    _State.unfinished += 1
    try:
        yield
    finally:
        _State.unfinished -= 1
        if _State.status is not None:
            leave(_State.status)
