"""Work on many slices on all cores at once, as far as the caller allows.

Threads, not processes: NumPy, SciPy, Pillow and the decoders let go of Python's lock while they compute, slices are not
copied, and a fork beside threads of OpenVINO can wait for ever.
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
"""Shares of the work that each core gets: enough that one with harder slices does not keep the others waiting."""

_limit: ContextVar[int | None] = ContextVar("cores that may be used; all if None", default=None)


def cores() -> int:
    """Cores to work on: those that this process may use, fewer within `at_most`."""
    free = _free()
    return min(free, _limit.get() or free)


def _free() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def at_most(count: int | None) -> Iterator[None]:
    """Work on no more cores than these while the context lasts; None leaves it as it is."""
    if count is None:
        yield
        return
    before = _limit.set(count)
    try:
        yield
    finally:
        _limit.reset(before)


def parallel_map(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `work` gives for each item, in their order; several items at once.

    The first exception in the order of the items is raised. `work` itself runs on one core, also where it calls this.
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
