"""Confines this process: how much memory and processor time it may have, and that it reaches no network.

Workers read files that strangers made, with libraries in C. What such a file makes them do must not take the computer
down, and must not reach out of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from types import FrameType

from jcs_ct.errors import UnsupportedInputError

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_ADDRESSES_BYTES = 64 * 1024**3
"""Address space beyond memory: files that are mapped, stacks, and what allocators set aside and never touch."""

log = logging.getLogger("jcs_ct.jobs")


class CostError(UnsupportedInputError):
    """A study takes more of the computer than one study may."""


def limit_memory(size: int | None) -> None:
    """Have allocations fail beyond `size` bytes: MemoryError in Python, bad_alloc in C++."""
    if size is None:
        return
    for kind, limit in ((resource.RLIMIT_DATA, size), (resource.RLIMIT_AS, size + _ADDRESSES_BYTES)):
        with contextlib.suppress(ValueError, OSError):  # systems that know no such limit
            set_soft_limit(kind, limit)


def set_soft_limit(kind: int, limit: int) -> None:
    """Set the soft limit of a resource, as far as its hard limit allows."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def leave_network() -> bool:
    """Move into a network of our own, which has no way out. To be called before there are threads.

    Returns:
        Whether the system let us.
    """
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEW_USER | _NEW_NETWORK) != 0 and library.unshare(_NEW_NETWORK) != 0:
        log.info("workers keep their network: %s", os.strerror(ctypes.get_errno()))
        return False
    with contextlib.suppress(OSError):  # without it we are nobody, who still may use what is open to us
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


class CpuBudget:
    """Processor time of one piece of work, of all threads of the process together."""

    def __init__(self) -> None:
        self.spent = False
        """Whether it is used up; for threads that see whether the main one notices."""
        self._message = ""

    def watch(self) -> None:
        """Have this object hear of time that is used up; in the main thread."""
        signal.signal(signal.SIGXCPU, self._heard)

    def begin(self, seconds: float | None, what: str) -> None:
        """Allow so many seconds from now on; no limit if None."""
        self.spent = False
        if seconds is None:
            self.end()
            return
        self._message = f"{what} took more than {seconds:g} s of processor time, the limit for one study"
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime + seconds) + 1
        set_soft_limit(resource.RLIMIT_CPU, limit)

    def end(self) -> None:
        """The work is done: no limit until the next piece."""
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))

    @property
    def message(self) -> str:
        """Why the work was ended."""
        return self._message

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.spent:  # the signal comes every second: once is enough to be heard
            return
        self.spent = True
        raise CostError(self._message)
