"""Keeps workers at work: starts them, replaces those that die or hang, takes their jobs back, and has the store swept.

It holds nothing that a kill would lose. Several supervisors may serve one store, each with its own workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from jcs_ct.errors import QueueError
from jcs_ct.jobs.housekeeping import sweep
from jcs_ct.jobs.ledger import Loss
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.worker import READY, SPENT

_MOST_PATIENCE_S = 60.0
_STOP_S = 5.0

log = logging.getLogger("jcs_ct.jobs")


@dataclass
class _Place:
    """Room for one worker, whoever it is at the time."""

    process: subprocess.Popen[bytes] | None = None
    worker_id: str = ""
    killed: bool = False
    """By us, since it gave no sign of life."""
    failures: int = 0
    """In a row, of workers that could not even begin."""
    not_before: float = field(default=0.0)


class Supervisor:
    """Works a queue off, in a thread of its own between `start` and `stop` or within a context.

    Args:
        root: The folder of the queue.
        settings: See `QueueSettings`.

    Raises:
        QueueError: As for `JobQueue`.
    """

    def __init__(self, root: Path, settings: QueueSettings | None = None) -> None:
        self._queue = JobQueue(root, settings)
        self._settings = self._queue.settings
        self._places = [_Place() for _ in range(self._settings.workers)]
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_recovery = self._next_sweep = 0.0
        self._store_problem: str | None = None
        self._setup_problem: str | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, and return."""
        self._thread = threading.Thread(target=self.run, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have the workers give their jobs back and end; returns when they have."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def problem(self) -> str | None:
        """Why no work is done: weights are missing, say, or the disk is full. None while all is well."""
        return self._store_problem or self._setup_problem

    @property
    def alive(self) -> bool:
        """Whether workers run, or will be started at once."""
        runs = self._thread is not None and self._thread.is_alive()
        return runs and all(place.failures == 0 for place in self._places)

    @property
    def ready(self) -> bool:
        """Whether at least one worker takes studies now."""
        return self.alive and any(self._said(place) == READY for place in self._places)

    def _said(self, place: _Place) -> str:
        try:
            return self._sign(place).read_text(encoding="utf-8") if place.worker_id else ""
        except OSError:
            return ""

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Of the workers that run now."""
        return tuple(place.process.pid for place in self._places if place.process is not None)

    def run(self) -> None:
        """Supervise until `stop` is called from elsewhere."""
        try:
            while not self._stopping.is_set():
                try:
                    self._look_after_all()
                    self._store_problem = None
                except (QueueError, OSError) as error:  # a full disk, mostly; workers may go on
                    self._store_problem = str(error)
                    log.error("queue: %s", error)
                    self._stopping.wait(1.0)
                self._stopping.wait(self._settings.poll_s)
        finally:
            self._dismiss_all()
            self._queue.close()

    def _look_after_all(self) -> None:
        now = time.monotonic()
        for place in self._places:
            self._look_after(place)
        if now >= self._next_recovery:
            self._next_recovery = now + self._settings.lease_s / 4
            for job_id in self._queue.ledger.recover():
                log.warning("job %s: taken from its worker, which gave no sign of life or took too long", job_id)
        if now >= self._next_sweep:
            self._next_sweep = now + self._settings.sweep_s
            sweep(self._queue)

    def _look_after(self, place: _Place) -> None:
        if place.process is not None and place.process.poll() is None:
            self._look_at(place, place.process)
            return
        if place.process is not None:
            self._bury(place, place.process.returncode)
        if time.monotonic() >= place.not_before:
            self._hire(place)

    def _hire(self, place: _Place) -> None:
        place.worker_id, place.killed = uuid.uuid4().hex, False
        self._sign(place).touch()
        environment = dict(os.environ)
        if self._settings.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self._settings.threads)
        # -P: what lies in the working directory is not to be imported.
        command = [sys.executable, "-P", "-m", "jcs_ct.jobs.worker"]
        arguments = [str(self._queue.folders.root), place.worker_id, self._settings.as_json()]
        place.process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
        )

    def _sign(self, place: _Place) -> Path:
        return self._queue.folders.workers / place.worker_id

    def _look_at(self, place: _Place, process: subprocess.Popen[bytes]) -> None:
        """See that a worker lives: one that hangs does not even end when its claim is lost."""
        sign = self._sign(place)
        silent_s = time.time() - sign.stat().st_mtime
        if silent_s > self._settings.lease_s and not place.killed:
            log.warning("worker %s: no sign of life for %.0f s, killed", place.worker_id, silent_s)
            place.killed = True
            process.kill()
        elif place.failures and sign.read_text(encoding="utf-8") == READY:
            place.failures, self._setup_problem = 0, None

    def _bury(self, place: _Place, status: int) -> None:
        """Take back what a worker that has ended held, and see when there should be another."""
        if place.killed:
            # Not the job's fault for sure: after a computer has slept, it looks the same.
            self._queue.ledger.give_back(place.worker_id, Loss.INTERRUPTION, "the worker hung")
        else:
            self._queue.ledger.give_back(place.worker_id, Loss.ATTEMPT, f"the worker died ({_in_words(status)})")
        said = self._sign(place).read_text(encoding="utf-8")
        if said != READY:
            place.failures += 1
            self._setup_problem = said or f"the worker died at its start ({_in_words(status)})"
            log.error("queue: no worker can begin: %s", self._setup_problem)
        elif status != SPENT:
            log.warning("worker %s: died (%s)", place.worker_id, _in_words(status))
        patience = min(_MOST_PATIENCE_S, 0.25 * 2.0**place.failures) if said != READY else 0.0
        place.not_before = time.monotonic() + patience
        self._forget(place)

    def _forget(self, place: _Place) -> None:
        self._sign(place).unlink(missing_ok=True)
        if place.process is not None and place.process.stdin is not None:
            place.process.stdin.close()
        place.process = None

    def _dismiss_all(self) -> None:
        """Close what the workers listen to, and wait; whoever does not end is killed."""
        serving = [(place, place.process) for place in self._places if place.process is not None]
        for _, process in serving:
            if process.stdin is not None:
                process.stdin.close()
        deadline = time.monotonic() + _STOP_S
        for place, process in serving:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(QueueError):
                self._queue.ledger.give_back(place.worker_id, Loss.STOP, "the service was stopped")
            self._forget(place)


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status}, {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
