"""What the queue runs in tests in place of a Diagnoser: a study says how to be worked off, and starts are written down.

A study is a JSON file of `Orders`. The reports are bytes that follow from its key, so that damage shows.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jcs_ct.errors import SeveralStudiesError, UnreadableFileError, UsageError, WeightsError
from jcs_ct.jobs.job import JobOptions, JobState, Outcome
from jcs_ct.jobs.task import SeveralStudiesFound, Task

if TYPE_CHECKING:
    from jcs_ct.diagnosis.reporter import Reporter  # takes seconds to import

TASK = "tests.jobs.stand_in:prepare"
FILES = 6


@dataclass(frozen=True)
class Orders:
    """How a study wants to be worked off."""

    key: str = "study"
    steps: int = 1
    step_s: float = 0.0
    ending: str = "done"
    only_first: bool = False
    """The ending is for the first start; later ones are done."""
    studies: int = 1
    """How many studies it turns out to be; their keys are numbered."""

    def write(self, path: Path) -> Path:
        """As a study."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def contents(key: str) -> dict[str, bytes]:
    """The reports of a study, by name."""
    return {f"report-{k}.bin": hashlib.sha512(f"{key}/{k}".encode()).digest() * 200 for k in range(FILES)}


def starts(log: Path) -> list[str]:
    """Keys of the studies in the order in which they were started, retries and all."""
    return [key for key, _ in timed_starts(log)]


def timed_starts(log: Path) -> list[tuple[str, float]]:
    """The same, with the times."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [(key, float(at)) for key, at in (line.split() for line in lines)]


def prepare(threads: int | None, log: str, broken: str | None = None) -> Task:
    """Make the stand-in.

    Args:
        threads: Not used.
        log: File that starts are written to.
        broken: What is wrong with the weights.
    """
    del threads
    if broken is not None:
        raise WeightsError(broken)

    def task(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        del options
        path = study / "orders.json" if study.is_dir() else study
        orders = Orders(**json.loads(path.read_text(encoding="utf-8")))
        if orders.studies > 1:
            raise SeveralStudiesFound(SeveralStudiesError("found several"), _parted(orders, reports.parent))
        first = orders.key not in starts(Path(log))
        with Path(log).open("a", encoding="utf-8") as stream:
            stream.write(f"{orders.key} {time.time()}\n")
        reporter.stage("computing", orders.steps)
        for _ in range(orders.steps):
            time.sleep(orders.step_s)
            reporter.advance(1)
        if first or not orders.only_first:
            _misbehave(orders.ending, study, reports)
        reporter.stage("writing", 0)
        reports.mkdir()
        for name, content in contents(orders.key).items():
            (reports / name).write_bytes(content)
        if orders.ending == "not_assessable":
            return Outcome(JobState.NOT_ASSESSABLE, {"verdict": "not_assessable"}, "too few slices")
        return Outcome(JobState.DONE, {"verdict": "negative", "key": orders.key})

    return task


def _parted(orders: Orders, folder: Path) -> tuple[Path, ...]:
    folders = tuple(folder / "studies" / str(number) for number in range(1, orders.studies + 1))
    for number, each in enumerate(folders, start=1):
        each.mkdir(parents=True)
        Orders(f"{orders.key}-{number}", orders.steps, orders.step_s).write(each / "orders.json")
    return folders


def _misbehave(ending: str, study: Path, reports: Path) -> None:
    if ending == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "hang":
        time.sleep(3600)
    if ending == "half":
        reports.mkdir()
        (reports / "report-0.bin").write_bytes(b"half")
        raise MemoryError
    errors: Mapping[str, Exception] = {
        "unreadable": UnreadableFileError(f"{study} is damaged:\ncopy it again"),
        "bug": KeyError("Doe^Jane"),
        "memory": RuntimeError("Exception from core: std::bad_alloc"),
    }
    if ending in errors:
        raise errors[ending]
    if ending == "disk_full":
        raise UsageError("cannot write results") from OSError(errno.ENOSPC, "No space left on device")
