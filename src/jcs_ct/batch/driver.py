"""The batch itself: hands studies to an engine, and sees that each is done once, whatever happens. Read `run_batch`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from jcs_ct.batch.engine import Did, Ended, Engine
from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Record, Records, State
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.errors import UsageError

_ATTEMPTS = 2
"""A study that killed its worker, or exceeded time or memory, so often is quarantined."""
_LOOK_S = 0.5
_ELSEWHERE_S = 2.0
"""Between two looks at studies that another call works on."""


@dataclass
class Totals:
    """How far a call has come."""

    studies: int
    """In this call's part."""
    done: int = 0
    """With a result, made now or before."""
    unchanged: int = 0
    """Of these, made before."""
    failed: int = 0
    seconds: float = 0.0

    @property
    def ended(self) -> int:
        """That need no more work."""
        return self.done + self.failed

    @property
    def per_hour(self) -> float:
        """Studies an hour, of those that were worked on."""
        return 3600 * (self.ended - self.unchanged) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """As far as can be told."""
        return None if not self.per_hour else 3600 * (self.studies - self.ended) / self.per_hour


class Watcher(Protocol):
    """Is told how a batch goes on."""

    def started(self, totals: Totals) -> None:
        """The batch begins."""

    def ended(self, record: Record, worked: bool, totals: Totals) -> None:
        """A study needs no more work, or failed for the first time and is tried again."""

    def tick(self, totals: Totals) -> None:
        """Time has passed."""


@dataclass(frozen=True)
class Call:
    """All that one call of a batch works with."""

    records: Records
    settings: WorkSettings
    engine: Engine
    watcher: Watcher
    stop: threading.Event
    """Set from elsewhere to end the call early."""
    grace_s: float = 20.0
    """Time that running studies then have to end."""


def run_batch(items: Sequence[Item], call: Call) -> Totals:
    """Do all studies that are not done.

    Returns:
        What was done; fewer studies have ended than there are if the call was stopped.

    Raises:
        UsageError: a study's name stands for another study in the folder.
        JcsError: no worker can begin, or the disk is full. What is done stays done.
    """
    totals = Totals(len(items))
    elsewhere: list[Item] = []
    running: set[str] = set()
    start, looked = time.monotonic(), time.monotonic()
    try:
        waiting = deque(_in_order(items, call.records))
        call.watcher.started(totals)
        while (waiting or running or elsewhere) and not call.stop.is_set():
            while waiting and len(running) < call.engine.workers:
                running.add(waiting[0].name)
                call.engine.start(waiting.popleft())
            for ended in call.engine.wait(_LOOK_S):
                running.discard(ended.item.name)
                totals.seconds = time.monotonic() - start
                again = _settle(ended, call, totals)
                if again is not None:
                    (elsewhere if ended.did is not None else waiting).append(again)
            if elsewhere and time.monotonic() - looked > _ELSEWHERE_S:
                looked = time.monotonic()
                waiting.extend(elsewhere)
                elsewhere.clear()
            totals.seconds = time.monotonic() - start
            call.watcher.tick(totals)
        _let_end(running, call, totals)
    finally:
        call.engine.close()
    return totals


def _in_order(items: Sequence[Item], records: Records) -> list[Item]:
    """Studies that were interrupted come last: what may have taken a whole machine down must not hold up the others.

    Raises:
        UsageError: the folder holds the results of another study under the name of one of these.
    """
    last = set()
    for item in items:
        known = records.read(item.name)
        if known is not None and known.path not in (None, item.path) and Path(known.path or "").exists():
            raise UsageError(
                f"{records.root} holds results of {known.path} under the name {item.name}, which {item.path} would "
                "have, too; give another folder for results, or a table with an id for each study"
            )
        if known is not None and known.state in (State.RUNNING, State.INTERRUPTED):
            last.add(item.name)
    return sorted(items, key=lambda item: item.name in last)


def _settle(ended: Ended, call: Call, totals: Totals) -> Item | None:
    """Take down how a task ended.

    Returns:
        The study if it must be started again.
    """
    did = ended.did
    if did is None:
        if ended.why is None:
            return ended.item
        did = Did(_lost_worker(ended, call), worked=True)
    record = did.record
    if record is None:
        return ended.item
    if record.state is State.DONE:
        totals.done += 1
        totals.unchanged += not did.worked
    elif record.state is not State.INTERRUPTED:
        totals.failed += 1
    call.watcher.ended(record, did.worked, totals)
    return ended.item if record.state is State.INTERRUPTED else None


def _lost_worker(ended: Ended, call: Call) -> Record:
    """The record of a study that killed its worker or had it killed."""
    before = call.records.read(ended.item.name)
    if before is None:
        path = None if call.settings.key is not None else ended.item.path
        before = Record(ended.item.name, State.RUNNING, path, "", call.settings.recipe)
    attempts = before.attempts + 1
    state = State.QUARANTINED if attempts >= _ATTEMPTS else State.INTERRUPTED
    record = replace(before, state=state, attempts=attempts, why=ended.why, reason=ended.detail, row={})
    call.records.write(record)
    return record


def _let_end(running: set[str], call: Call, totals: Totals) -> None:
    """Give what runs its grace; what has not ended then is dropped, and done by the next call."""
    deadline = time.monotonic() + call.grace_s
    while running and (left := deadline - time.monotonic()) > 0:
        for ended in call.engine.wait(min(_LOOK_S, left)):
            running.discard(ended.item.name)
            if ended.did is not None:
                _settle(ended, call, totals)
