"""Libraries that tell the terminal about every oddity of a file, kept quiet while they are at work for us."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Quiet:
    """Counts who is at work, since warning filters and log levels are the whole process's, not a thread's."""

    lock = threading.Lock()
    working = 0
    saved = warnings.catch_warnings()
    loggers = tuple(logging.getLogger(name) for name in ("pydicom", "highdicom", "nibabel.global"))
    levels: tuple[int, ...] = ()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what the libraries say about odd files off stderr: what matters of it is in remarks and errors.

    While reading, and while writing what refers to what was read: names and dates are carried as they are.
    """
    with _Quiet.lock:
        if _Quiet.working == 0:
            _Quiet.saved = warnings.catch_warnings()
            _Quiet.saved.__enter__()
            warnings.simplefilter("ignore")
            _Quiet.levels = tuple(logger.level for logger in _Quiet.loggers)
            for logger in _Quiet.loggers:
                logger.setLevel(logging.CRITICAL + 1)
        _Quiet.working += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.working -= 1
            if _Quiet.working == 0:
                _Quiet.saved.__exit__(None, None, None)
                for logger, level in zip(_Quiet.loggers, _Quiet.levels, strict=True):
                    logger.setLevel(level)
