"""What keeps one study from taking a machine: limits that the operating system enforces on a worker's process."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Where libraries look, when they are loaded, for how many threads they may start."""


def limit_memory(most: int) -> None:
    """Have this process raise MemoryError, or end, where it would take more memory of its own than this."""
    try:
        # Here and not at the top: Windows has no such module.
        import resource

        from jcs_ct.jobs.confine import set_soft_limit
    except ImportError:
        return
    # Of data, not of addresses: networks and files that are mapped take no memory that is needed elsewhere.
    set_soft_limit(resource.RLIMIT_DATA, most)


@contextlib.contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """Have the system kill this process: it does so as well where native code hangs and nobody is left to see it."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
