"""Temporary folders that go at every kind of end: when their work is done, and after a kill when the next one starts.

Each holds a lock for as long as its process lives. A folder whose lock is free was left behind, whichever machine,
container or process number its owner had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from jcs_ct.cleanup import finished, held

_LOCK = ".lock"
_PREFIX = "jcs-scratch-"
_BEING_MADE_S = 60.0
"""A folder without a lock is one that is just being made, unless it is older."""


class ScratchFolder:
    """A folder for what an input is unpacked to; a context manager. It is made when it is first asked for."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def new(self, name: str) -> Path:
        """A fresh folder in it."""
        if self._folder is None:
            self._folder = self._open.enter_context(held_folder(Path(tempfile.gettempdir()), _PREFIX))
        made = self._folder / name
        made.mkdir()
        return made


@contextmanager
def held_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A fresh folder in `parent`, gone afterwards; what killed processes left there under this prefix goes first."""
    remove_left_behind(parent, prefix)
    folder = parent / f"{prefix}{uuid.uuid4().hex[:12]}"
    held.add(folder)
    try:
        folder.mkdir(mode=0o700)
        # Locked under another name and then given its own: nobody finds it free and takes it for one left behind.
        waiting = FileLock(folder / f"{_LOCK}.new")
        with waiting:
            (folder / f"{_LOCK}.new").rename(folder / _LOCK)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.discard(folder)


def remove_left_behind(parent: Path, prefix: str) -> None:
    """Remove the folders in `parent` that begin with `prefix`, are ours, and whose process has ended."""
    with contextlib.suppress(OSError):
        for path in parent.iterdir():
            if path.name.startswith(prefix) and path.is_dir() and not path.is_symlink():
                _remove_if_free(path)


def _remove_if_free(folder: Path) -> None:
    with contextlib.suppress(OSError, Timeout):
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return
        if not (folder / _LOCK).exists() and time.time() - status.st_mtime < _BEING_MADE_S:
            return
        with FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Keep all other threads and processes that ask for the same lock out; the file is gone afterwards."""
    with FileLock(lock), finished():
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # who waits for it notices, and makes it anew
