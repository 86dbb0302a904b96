"""Seconds by stage, for the timings of a result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Runs from when it is made; `with clock("stage"):` times a stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what runs inside."""
        start = time.perf_counter()
        yield
        self._stages[stage] = round(time.perf_counter() - start, 3)

    def total(self) -> dict[str, float]:
        """Seconds of each stage so far, and of all since the clock was made."""
        return {**self._stages, "total": round(time.perf_counter() - self._start, 3)}
