"""Does one study of a batch, in a worker: claim it, see whether it is done, have it diagnosed, write its record."""

from __future__ import annotations

import errno
import gc
import hashlib
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from jcs_ct.batch.engine import Did
from jcs_ct.batch.fingerprint import fingerprint
from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Record, Records, State, Why
from jcs_ct.batch.result_file import made_from, row_of
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.errors import InputError, JcsError, PeerError, UsageError
from jcs_ct.jobs.folders import DISK_FULL, sync_tree, temporary_files_in

_TRACEBACK_LENGTH = 64 * 1024
_UNSETTLED = (State.RUNNING, State.INTERRUPTED)


class Diagnose(Protocol):
    """Makes the results of one study."""

    def __call__(self, item: Item, begun: Record) -> None:
        """Write the results, with `begun.inputs` and `begun.recipe` in them, unless those there are of the same voxels.

        They are in `Records.result` as a whole, or not at all.
        """


class Worker:
    """Does studies one after the other.

    Args:
        settings: of the batch.
        diagnose: makes the results of a study.
    """

    def __init__(self, settings: WorkSettings, diagnose: Diagnose) -> None:
        self._settings = settings
        self._records = Records(settings.folder)
        self._diagnose = diagnose

    def __call__(self, item: Item) -> Did:
        """Do a study, unless it is done or somebody else is at it.

        Raises:
            UsageError: the disk is full, or the file system has no locks: no fault of the study's.
            MemoryError: there was too little; what is left of this process must not be used again.
        """
        lock = FileLock(self._records.claim(item.name), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return Did(None, worked=False)
        except (OSError, NotImplementedError) as error:
            raise UsageError(
                f"cannot lock {lock.lock_file} ({error}); expected a file system with locks, which keep two calls from "
                "doing one study"
            ) from error
        try:
            return self._claimed(item)
        finally:
            lock.release()

    def _claimed(self, item: Item) -> Did:
        before = self._records.read(item.name)
        start, inputs = time.perf_counter(), ""
        try:
            inputs = fingerprint(item, self._settings.key or b"")
            if (known := self._known(item, before, inputs)) is not None:
                return Did(known, worked=False)
            begun = self._blank(item, inputs, State.RUNNING, before)
            self._records.write(begun)
            self._remove_leftovers(item.name)
            with self._own_temporary_folder(item):
                self._diagnose(item, begun)
            sync_tree(self._records.result(item.name))
            record = self._done(begun)
        except Exception as error:
            record = self._failed(item, inputs, before, error)
        record = replace(record, seconds=round(time.perf_counter() - start, 3))
        self._records.write(record)
        gc.collect()
        return Did(record, worked=True)

    def _known(self, item: Item, before: Record | None, inputs: str) -> Record | None:
        """The record of a study that need not be done again; None if it must be."""
        settings = self._settings
        if settings.redo:
            return None
        if before is not None and (before.inputs, before.recipe) == (inputs, settings.recipe):
            if before.state is State.QUARANTINED:
                return None if settings.retry else before
            if before.state is State.DONE and self._records.whole(before):
                return before
        document = self._records.document(item.name)
        if document is None or made_from(document) != (inputs, settings.recipe):
            return None
        # A kill fell between the result and its record.
        done = self._done(self._blank(item, inputs, State.DONE, before))
        self._records.write(done)
        return done

    def _done(self, begun: Record) -> Record:
        document = self._records.document(begun.name)
        if document is None:
            raise RuntimeError("expected a whole result.json after a diagnosis")
        path = self._records.result(begun.name) / "result.json"
        return replace(begun, state=State.DONE, row=row_of(document), result_bytes=path.stat().st_size)

    def _blank(self, item: Item, inputs: str, state: State, before: Record | None) -> Record:
        trying = before is not None and before.state in _UNSETTLED and before.inputs == inputs
        attempts = before.attempts if before is not None and trying else 0
        path = item.path if self._settings.key is None else None
        return Record(item.name, state, path, inputs, self._settings.recipe, attempts)

    def _failed(self, item: Item, inputs: str, before: Record | None, error: Exception) -> Record:
        """What became of a study that raised an exception.

        Raises:
            UsageError: the disk is full, which is no fault of the study's.
            MemoryError: see `__call__`.
        """
        _refuse_full_disk(error, self._settings.folder)
        if _out_of_memory(error):
            raise MemoryError from error
        if isinstance(error, JcsError):
            why = Why.UNREADABLE if isinstance(error, InputError | PeerError) else Why.WRONG_OPTION
            reason = " ".join(str(error).split())
        else:
            why = Why.INTERNAL
            reason = f"{type(error).__name__}: a fault of JCS; records/{item.name}.txt has the details"
            self._keep_traceback(item.name, error)
        if self._settings.key is not None:
            reason = ""  # it may name files and persons
        return replace(self._blank(item, inputs, State.FAILED, before), why=why, reason=reason)

    def _keep_traceback(self, name: str, error: Exception) -> None:
        # With the record and not in the log: messages of libraries may hold what the study says of the patient.
        if self._settings.key is None:
            text = "".join(traceback.format_exception(error))[-_TRACEBACK_LENGTH:]
            self._records.traceback(name).write_text(text, encoding="utf-8", errors="replace")

    def _remove_leftovers(self, name: str) -> None:
        """What killed workers have left beside the results; the claim is ours, so nobody is writing there."""
        for left in self._records.studies.glob(f".{name}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _own_temporary_folder(self, item: Item) -> Iterator[None]:
        """Archives are unpacked where the next attempt finds and removes what a kill has left of them."""
        place = hashlib.sha256(f"{self._records.root}\0{item.name}".encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir(), f"jcs-batch-{place}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            with temporary_files_in(folder):
                yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_full_disk(error: BaseException, out: Path) -> None:
    if any(isinstance(each, OSError) and each.errno in DISK_FULL for each in _causes(error)):
        raise UsageError(f"the disk of {out} is full: free some space, then call again to go on") from error


def _out_of_memory(error: BaseException) -> bool:
    # OpenVINO tells of a lack of memory in the words of C++.
    return any(
        isinstance(each, MemoryError)
        or "bad_alloc" in str(each)
        or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
        for each in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__
