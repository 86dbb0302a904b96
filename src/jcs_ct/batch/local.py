"""The local engine: a process for each worker, kept by pebble.

Pebble times a task out and kills its process, notices processes that die, and starts new ones. Each worker has a pool
of its own, so that the death of one at any moment never holds up what the others share.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from multiprocessing.connection import Connection

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from jcs_ct.batch.engine import Did, Ended, Work, load_work
from jcs_ct.batch.items import Item
from jcs_ct.batch.limits import THREAD_VARIABLES, killed_after, limit_memory
from jcs_ct.batch.records import Why
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.errors import JcsError

_STUDIES_A_PROCESS = 500
"""Then a new one takes its place: whatever a library loses is lost with it. Loading takes two seconds."""
_GRACE_S = 60.0
"""A task whose worker is not seen to end so long after its time is given up."""
_OUT_OF_MEMORY = 71
"""Exit status of a worker that ran out of memory."""

_work: Work | None = None
"""Of this process, once it is a worker."""
_timeout_s = 0.0


@dataclass
class _Place:
    """Room for one worker."""

    pool: ProcessPool
    item: Item | None = None
    future: ProcessFuture[Did] | None = None
    since: float = 0.0


class LocalEngine:
    """Runs studies in processes of this machine.

    Args:
        settings: of the batch.
        workers: processes.
    """

    def __init__(self, settings: WorkSettings, workers: int) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        # Workers end when the writer is closed: by `close`, or by the death of this process.
        self._reader, self._writer = self._context.Pipe(duplex=False)
        self._places = [_Place(self._pool()) for _ in range(workers)]

    @property
    def workers(self) -> int:
        """See `Engine`."""
        return len(self._places)

    def start(self, item: Item) -> None:
        """See `Engine`."""
        place = next(place for place in self._places if place.future is None)
        with _environment(self._settings.threads):
            place.item, place.since = item, time.monotonic()
            place.future = place.pool.schedule(_do, args=(item,), timeout=self._settings.timeout_s)

    def wait(self, seconds: float) -> Sequence[Ended]:
        """See `Engine`."""
        running = [place.future for place in self._places if place.future is not None]
        if not running:
            time.sleep(seconds)
            return ()
        done, _ = wait_for(running, seconds, FIRST_COMPLETED)
        ended = []
        for place in self._places:
            if place.future in done:
                ended.append(self._ended(place))
            elif place.future is not None and time.monotonic() - place.since > self._settings.timeout_s + _GRACE_S:
                ended.append(self._given_up(place))
        return ended

    def close(self) -> None:
        """See `Engine`."""
        for place in self._places:
            place.pool.stop()  # type: ignore[no-untyped-call]  # it starts no more workers then
        self._writer.close()
        for place in self._places:
            place.pool.join()
        self._reader.close()

    def _pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            max_tasks=_STUDIES_A_PROCESS,
            initializer=_begin,
            initargs=(self._settings, self._reader),
            # Not by fork: beside threads it can wait for ever, and it would copy what the command has loaded.
            context=self._context,
        )

    def _ended(self, place: _Place) -> Ended:
        item, future = place.item, place.future
        assert item is not None
        assert future is not None
        place.item = place.future = None
        try:
            return Ended(item, future.result())
        except FutureTimeoutError:
            return Ended(item, why=Why.TIME, detail=f"more than {self._settings.timeout_s:g} s")
        except ProcessExpired as error:
            return _death(item, error.exitcode or 0, self._settings)
        except BrokenExecutor as error:
            raise JcsError(f"no worker can begin ({error}); the lines above say why") from error

    def _given_up(self, place: _Place) -> Ended:
        item = place.item
        assert item is not None
        place.pool.stop()  # type: ignore[no-untyped-call]
        place.pool.join()
        place.pool, place.item, place.future = self._pool(), None, None
        return Ended(item, why=Why.TIME, detail="its worker was lost")


def _death(item: Item, status: int, settings: WorkSettings) -> Ended:
    """What the exit status of a worker says."""
    limit = f"more than {settings.memory_bytes / 1024**3:g} GiB"
    if status == _OUT_OF_MEMORY:
        return Ended(item, why=Why.MEMORY, detail=limit)
    if status == -signal.SIGALRM:
        return Ended(item, why=Why.TIME, detail=f"more than {settings.timeout_s:g} s")
    if status < 0:
        with contextlib.suppress(ValueError):
            return Ended(item, why=Why.CRASH, detail=f"its worker died of {signal.Signals(-status).name}")
    return Ended(item, why=Why.CRASH, detail=f"its worker ended with status {status}")


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Libraries ask for their threads when they are loaded, before any code of ours runs in a new process."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin(settings: WorkSettings, driver: Connection) -> None:
    """Make this process a worker."""
    global _work, _timeout_s
    # A terminal and a scheduler signal all processes at once; when this one ends is the driver's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    limit_memory(settings.memory_bytes)
    _end_with(driver)
    _timeout_s = settings.timeout_s
    _work = load_work(settings)


def _do(item: Item) -> Did:
    assert _work is not None
    with killed_after(_timeout_s + _GRACE_S / 2):
        try:
            return _work(item)
        except MemoryError:
            os._exit(_OUT_OF_MEMORY)  # and pebble starts another


def _end_with(driver: Connection) -> None:
    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            driver.recv_bytes()
        os._exit(1)

    threading.Thread(target=watch, name="driver", daemon=True).start()
