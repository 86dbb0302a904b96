"""A process that works off jobs, one after the other: `python -m jcs_ct.jobs.worker ROOT ID SETTINGS`.

The supervisor starts it and holds the other end of its standard input: when that closes, in good order or because the
supervisor was killed, the worker gives its job back and ends. A worker that loses its claim (cancelled, too late) is
told so at its next report of progress; if it computes on without any, its process ends.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jcs_ct.errors import JcsError, QueueError
from jcs_ct.jobs.confine import CpuBudget, leave_network, limit_memory
from jcs_ct.jobs.folders import DISK_FULL, PRIVATE, sync_tree, temporary_files_in
from jcs_ct.jobs.job import Outcome
from jcs_ct.jobs.ledger import Claim, Loss
from jcs_ct.jobs.parting import part
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import GIB, QueueSettings
from jcs_ct.jobs.task import SeveralStudiesFound, Task, load_task

SETUP_FAILED = 3
"""Exit status: the task could not be made; the sign of life says why."""
SPENT = 4
"""Exit status: in good order, but start another: the claim was lost, or a study took too much."""
READY = "ready"
"""What the sign of life says from then on."""

_PROGRESS_S = 0.5
_READING = "reading"
"""The stage at which a study is read."""
_TRACEBACK_LENGTH = 64 * 1024
_NO_MEMORY = "ran out of memory"

log = logging.getLogger("jcs_ct.jobs")


class _ClaimLost(BaseException):
    """Not an Exception, so that no reader or library on the way takes it for a damaged file."""


class Worker:
    """Works off the jobs of one queue.

    Args:
        queue: Which.
        worker_id: What the ledger knows this worker by; nobody else's.
        task: What to do with a study.
        heart: What keeps claims; one that does not beat if None, which will do for a short while.
    """

    def __init__(self, queue: JobQueue, worker_id: str, task: Task, heart: Heart | None = None) -> None:
        self._queue = queue
        self._id = worker_id
        self._task = task
        self._heart = heart or Heart(queue, worker_id)
        self._budget = CpuBudget()

    def confine(self) -> None:
        """Have the system hold this process to the queue's limits; in its main thread."""
        limit_memory(self._queue.settings.memory_bytes)
        self._budget.watch()

    def run(self) -> None:
        """Work until the process ends, or this process should not go on."""
        while True:
            claim = self._next()
            if claim is None:
                time.sleep(self._queue.settings.poll_s)
            elif not self.work_off(claim):
                return

    def _next(self) -> Claim | None:
        # A worker that starts on a full disk only spends attempts.
        if self._queue.folders.free_bytes() < self._queue.settings.min_free_bytes // 2:
            return None
        try:
            return self._queue.ledger.claim(self._id)
        except QueueError as error:
            log.error("worker %s: %s", self._id, error)
            return None

    def work_off(self, claim: Claim) -> bool:
        """Bring one job to its end, or give it back.

        Returns:
            Whether this process is fit for another one.
        """
        attempt = self._queue.folders.attempt(claim.job.id, claim.token)
        try:
            with self._heart.beating_for(claim.token, self._budget), _own_temporary_folder(attempt):
                return self._attempt(claim, attempt)
        except _ClaimLost:
            log.info("job %s: the claim was lost, the attempt is dropped", claim.job.id)
            return True
        finally:
            shutil.rmtree(attempt, ignore_errors=True)

    def _attempt(self, claim: Claim, attempt: Path) -> bool:
        progress = _Progress(self._queue, claim.token, self._heart, self._budget)
        try:
            self._budget.begin(self._queue.settings.cpu_s, "the study")
            try:
                outcome = self._task(claim.study, attempt / "reports", claim.job.options, progress)
            finally:
                self._budget.end()
            self._complete(attempt, outcome)
        except SeveralStudiesFound as found:
            return self._part(found, claim)
        except Exception as error:
            return self._after(error, claim)
        self._insist(lambda: self._queue.ledger.finish(claim.token))
        return True

    def _complete(self, attempt: Path, outcome: Outcome) -> None:
        """Have all of the attempt on the disk, before anybody is told that it is there."""
        shutil.rmtree(attempt / "tmp")
        (attempt / "reports").mkdir(exist_ok=True)
        (attempt / "outcome.json").write_text(outcome.as_json(), encoding="utf-8")
        sync_tree(attempt)

    def _part(self, found: SeveralStudiesFound, claim: Claim) -> bool:
        """Make a job of each study of one that turned out to be several."""
        # A DICOM node knows its studies by their images, and parts them itself; here they contradict each other.
        if claim.job.source:
            return self._after(found.refusal, claim)
        try:
            part(self._queue, claim, found.studies)
        except Exception as error:
            return self._after(error, claim)
        return True

    def _after(self, error: Exception, claim: Claim) -> bool:
        passing, ledger = _passing(error), self._queue.ledger
        limit = self._queue.settings.memory_bytes
        if passing == _NO_MEMORY and limit is not None:
            # It is the limit that was met, and would be met again.
            reason = f"needs more memory than one study may have, {limit / GIB:g} GiB: give one series of one patient"
            self._insist(lambda: ledger.fail(claim.token, reason))
            return False
        if passing is not None:
            log.warning("job %s: %s", claim.job.id, passing)
            self._insist(lambda: ledger.give_back(self._id, Loss.ATTEMPT, passing))
            return passing != _NO_MEMORY  # what is left of a process that ran out of memory is not used again
        if self._budget.spent:  # a reader or a library may have taken our error for one of its own
            reason = self._budget.message
        elif isinstance(error, JcsError):
            reason = self._queue.folders.without_places(error, claim.study)
        else:
            reason = f"internal error ({type(error).__name__}): a fault of JCS; its operator finds details with the job"
            self._keep_traceback(claim, error)
        self._insist(lambda: ledger.fail(claim.token, " ".join(reason.split())))
        return not self._budget.spent

    def _keep_traceback(self, claim: Claim, error: Exception) -> None:
        # With the job and not in the log: messages of libraries may hold what the study says of the patient.
        log.error("job %s: internal error, %s", claim.job.id, type(error).__name__)
        text = "".join(traceback.format_exception(error))[-_TRACEBACK_LENGTH:]
        with contextlib.suppress(OSError):
            path = self._queue.folders.job(claim.job.id) / "traceback.txt"
            path.write_text(text, encoding="utf-8", errors="replace")

    def _insist(self, action: Callable[[], object]) -> None:
        """Tell the ledger, and again where it cannot be written: minutes of work depend on it."""
        deadline = time.monotonic() + self._queue.settings.lease_s
        while True:
            try:
                action()
                return
            except QueueError as error:
                log.error("worker %s: %s", self._id, error)
                # Then the lease ends, and whoever recovers the job finds its result in place, or has it tried again.
                if time.monotonic() > deadline or self._heart.lost.is_set():
                    return
            time.sleep(self._queue.settings.poll_s)


class Heart(threading.Thread):
    """Gives signs of life: to the ledger for the claim that is held, to the supervisor for the process."""

    def __init__(self, queue: JobQueue, worker_id: str) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.lost = threading.Event()
        """The claim is worth nothing any more."""
        self._queue = queue
        self._sign = queue.folders.workers / worker_id
        self._lock = threading.Lock()
        self._token: str | None = None
        self._budget: CpuBudget | None = None

    @contextmanager
    def beating_for(self, token: str, budget: CpuBudget | None = None) -> Iterator[None]:
        """Prolong a claim for as long as the context lasts, and see that a spent budget ends it."""
        with self._lock:
            self.lost.clear()
            self._token, self._budget = token, budget
        try:
            yield
        finally:
            with self._lock:
                self._token = None

    def run(self) -> None:
        """Beat for as long as the process lives."""
        while True:
            with contextlib.suppress(OSError):
                self._sign.touch()
            token = self._token
            if token is not None and not self._beat(token):
                self._lose(token)
            elif token is not None and self._budget is not None and self._budget.spent:
                self._end_spent(token, self._budget.message)
            time.sleep(self._queue.settings.heartbeat_s)

    def _beat(self, token: str) -> bool:
        try:
            return self._queue.ledger.heartbeat(token)
        except QueueError:
            return True  # not known: the lease goes on until it ends

    def _lose(self, token: str) -> None:
        """Tell the main thread; if it does not listen, end the process."""
        with self._lock:
            if self._token != token:  # finished meanwhile
                return
            self.lost.set()
        if not self._let_go(token):
            os._exit(SPENT)

    def _end_spent(self, token: str, reason: str) -> None:
        """The main thread was told; if a library in C keeps it from listening, fail the study and end the process."""
        if not self._let_go(token):
            with contextlib.suppress(QueueError):
                self._queue.ledger.fail(token, reason)
            os._exit(SPENT)

    def _let_go(self, token: str) -> bool:
        """Whether the main thread gives a claim up within the grace period."""
        deadline = time.monotonic() + self._queue.settings.grace_s
        while time.monotonic() < deadline:
            time.sleep(self._queue.settings.grace_s / 20)
            if self._token != token:
                return True
        return False


class _Progress:
    """The pipeline's reporter: to the ledger, not more often than anybody looks."""

    def __init__(self, queue: JobQueue, token: str, heart: Heart, budget: CpuBudget) -> None:
        self._ledger = queue.ledger
        self._settings = queue.settings
        self._budget = budget
        self._token = token
        self._heart = heart
        self._stage, self._done, self._total, self._told = "", 0, 0, 0.0

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` slices begins; 0 where their number is not known."""
        if name == _READING:
            self._budget.begin(self._settings.reading_cpu_s or self._settings.cpu_s, "reading the study")
        elif self._stage == _READING:
            self._budget.begin(self._settings.cpu_s, "the study")
        self._stage, self._done, self._total = name, 0, total
        self._tell()

    def advance(self, count: int) -> None:
        """So many slices of the stage are done."""
        self._done += count
        if self._heart.lost.is_set() or time.monotonic() - self._told >= _PROGRESS_S or self._done == self._total:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        try:
            held = self._ledger.progress(self._token, self._stage, self._done, self._total)
        except QueueError:
            return  # progress is worth less than the study
        if not held:
            raise _ClaimLost


@contextmanager
def _own_temporary_folder(attempt: Path) -> Iterator[None]:
    """Archives are unpacked within the attempt, so that what a kill leaves of them is found and removed."""
    attempt.mkdir(mode=PRIVATE)
    (attempt / "tmp").mkdir()
    with temporary_files_in(attempt / "tmp"):
        yield


def _passing(error: BaseException) -> str | None:
    """Why it may go better next time; None where the study or JCS is at fault."""
    seen: BaseException | None = error
    while seen is not None:
        # OpenVINO tells of a lack of memory in the words of C++.
        if isinstance(seen, MemoryError) or "bad_alloc" in str(seen):
            return _NO_MEMORY
        if isinstance(seen, OSError) and seen.errno == errno.ENOMEM:
            return _NO_MEMORY
        if isinstance(seen, OSError) and seen.errno in DISK_FULL:
            return "the disk was full"
        seen = seen.__cause__
    return None


def main(arguments: list[str]) -> int:
    """Be a worker."""
    root, worker_id, settings = Path(arguments[0]), arguments[1], QueueSettings.from_json(arguments[2])
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Ctrl-C and service managers signal all processes at once; when this one ends is the supervisor's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(settings.niceness)
    if not settings.network:
        leave_network()  # first, as there must be no threads
    sign = root / "workers" / worker_id
    try:
        queue = JobQueue(root, settings)
        _end_with_supervisor(queue, worker_id)
        heart = Heart(queue, worker_id)
        heart.start()  # first, as loading may take longer than a lease
        worker = Worker(queue, worker_id, load_task(settings), heart)
        worker.confine()
    except Exception as error:
        sign.write_text(str(error) if isinstance(error, JcsError) else repr(error), encoding="utf-8")
        return SETUP_FAILED
    sign.write_text(READY, encoding="utf-8")
    worker.run()
    return SPENT


def _end_with_supervisor(queue: JobQueue, worker_id: str) -> None:
    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        with contextlib.suppress(QueueError):
            queue.ledger.give_back(worker_id, Loss.STOP, "the service was stopped")
        os._exit(0)

    threading.Thread(target=wait, name="supervisor", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
