"""Parallel work on slices, on as many cores as the caller allows.

Threads, not processes: NumPy, SciPy, Pillow and the decoders release the GIL while they compute, slices are not copied,
and a fork beside threads of OpenVINO can hang.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_SHARES = 4
"""Chunks per core: enough that a core with slower slices does not keep the others waiting."""

_limit: ContextVar[int | None] = ContextVar("cores that may be used; all if None", default=None)


def cores() -> int:
    """Number of cores to use: those available to this process, fewer within `at_most`."""
    free = _free()
    return min(free, _limit.get() or free)


def _free() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def at_most(count: int | None) -> Iterator[None]:
    """Use at most `count` cores within the context; None changes nothing."""
    if count is None:
        yield
        return
    before = _limit.set(count)
    try:
        yield
    finally:
        _limit.reset(before)


def parallel_map(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply `work` to all items in parallel and return the results in order.

    The first exception in the order of the items is raised. `work` itself runs on one core, also if it calls this.
    """
    workers = min(cores(), len(items))
    if workers < 2:
        return [work(item) for item in items]

    def part(start: int) -> list[R]:
        with at_most(1):
            return [work(item) for item in items[start : start + size]]

    size = -(-len(items) // (_SHARES * workers))
    with ThreadPoolExecutor(workers) as pool:
        return [result for share in pool.map(part, range(0, len(items), size)) for result in share]
