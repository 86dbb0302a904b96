"""Work that takes seconds of a processor, in a process of its own: the event loop answers meanwhile.

One process at a time, so that memory is bounded; it is replaced after some pieces of work, when it dies, and when a
piece takes too long.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from http import HTTPStatus
from typing import Any, TypeVar

from jcs_ct.jobs.confine import leave_network, limit_memory
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.turns import Turns

T = TypeVar("T")

_NICENESS = 5
_PIECES = 20
"""That a process does before it is replaced: what libraries keep of memory goes with it."""
_WAITING = 8
"""Pieces of one user that may wait."""


class Computing:
    """Does pieces of work one after the other.

    Args:
        limit_s: Longer than this, and a piece is taken to hang.
        memory_bytes: That the process may have; no limit if None.
    """

    def __init__(self, limit_s: float, memory_bytes: int | None = None) -> None:
        self._limit_s = limit_s
        self._memory_bytes = memory_bytes
        self._turns = Turns(1, 1, _WAITING)
        self._pool = _new_pool(memory_bytes)

    async def run(self, user: str, work: Callable[..., T], *arguments: Any) -> T:
        """Have a function of a module called in the process; what it raises is raised here. Users take turns.

        Raises:
            RefusedError: It took too long or too much memory, its process died, or too much of this user waits.
        """
        async with self._turns.turn(user):
            try:
                return await asyncio.wait_for(
                    asyncio.wrap_future(self._pool.submit(work, *arguments)), timeout=self._limit_s
                )
            except BrokenProcessPool as error:
                self._replace()
                raise RefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "the process that computed it died, most likely for lack of memory: try again",
                    {"Retry-After": "5"},
                ) from error
            except MemoryError as error:
                self._replace()
                raise RefusedError(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "the study needs more memory than one study may have"
                ) from error
            except TimeoutError as error:
                self._replace()
                raise RefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"computing took longer than {self._limit_s:g} s and was ended"
                ) from error

    def close(self) -> None:
        """End the process, whatever it does."""
        _end(self._pool)

    def _replace(self) -> None:
        _end(self._pool)
        self._pool = _new_pool(self._memory_bytes)


def _new_pool(memory_bytes: int | None) -> ProcessPoolExecutor:
    # A forked process would hold our locks and sockets.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        1, mp_context=context, initializer=_begin, initargs=(memory_bytes,), max_tasks_per_child=_PIECES
    )


def _end(pool: ProcessPoolExecutor) -> None:
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _begin(memory_bytes: int | None) -> None:
    """In the new process: step back, leave Ctrl-C and the network to the service, and end with it."""
    leave_network()
    limit_memory(memory_bytes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    service = multiprocessing.parent_process()
    assert service is not None

    def follow() -> None:
        service.join()
        os._exit(0)

    threading.Thread(target=follow, name="service", daemon=True).start()
