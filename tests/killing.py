"""Kill processes at a line given by a count; for scripts, because it forks."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def killed_at(count: int, act: Callable[[], object], code: str | tuple[str, ...]) -> bool:
    """Do something in another process, which is killed at the so-manieth line of some code that it reaches.

    Args:
        count: 1 for the first line; each counts once.
        act: what to do.
        code: how the paths of files begin whose lines count.

    Returns:
        Whether it came so far.
    """
    process = os.fork()
    if process == 0:
        reached = set()

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if not frame.f_code.co_filename.startswith(code):
                return None
            if event == "line":
                reached.add((frame.f_code, frame.f_lineno))
                if len(reached) == count:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        act()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])
