"""How far a batch has come: a bar on a terminal, lines in a log file, or events for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import typer

from jcs_ct.batch.driver import Totals, Watcher
from jcs_ct.batch.records import Record, State

_LINE_S = 60.0
_EVENT_S = 10.0


class Watchers:
    """Several watchers as one."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def started(self, totals: Totals) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.started(totals)

    def ended(self, record: Record, worked: bool, totals: Totals) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.ended(record, worked, totals)

    def tick(self, totals: Totals) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.tick(totals)


class BatchLog:
    """A line for each failure, and one a minute."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._next = 0.0

    def started(self, totals: Totals) -> None:
        """See `Watcher`."""
        self._write(f"begins: {totals.studies} studies")
        self._next = time.monotonic() + _LINE_S

    def ended(self, record: Record, worked: bool, totals: Totals) -> None:
        """See `Watcher`."""
        if record.state is not State.DONE:
            self._write(f"{record.name}: {record.state}, {record.why}: {record.reason}")

    def tick(self, totals: Totals) -> None:
        """See `Watcher`."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_S
            self._write(in_words(totals))

    def _write(self, text: str) -> None:
        self._stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
        self._stream.flush()


class Events:
    """One JSON object a line on standard output: `start`, `study`, `progress`; the command itself adds `end`."""

    def __init__(self) -> None:
        self._next = 0.0

    def started(self, totals: Totals) -> None:
        """See `Watcher`."""
        tell("start", **_counts(totals))

    def ended(self, record: Record, worked: bool, totals: Totals) -> None:
        """See `Watcher`."""
        tell(
            "study", study=record.name, state=record.state, worked=worked, verdict=record.row.get("verdict"),
            why=record.why, reason=record.reason or None, attempts=record.attempts, study_seconds=record.seconds,
            **_counts(totals),
        )  # fmt: skip

    def tick(self, totals: Totals) -> None:
        """See `Watcher`."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVENT_S
            tell("progress", **_counts(totals))


class Bar:
    """A bar on a terminal; a context manager."""

    def __enter__(self) -> Bar:
        # Here and not at the top: most calls come from a scheduler and draw nothing.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Drawn

        columns = (TextColumn("studies"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar: Any = Drawn(*columns, console=Console(stderr=True), transient=True)
        self._task: Any = self._bar.add_task("", total=None)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, totals: Totals) -> None:
        """See `Watcher`."""
        self._bar.update(self._task, total=totals.studies)

    def ended(self, record: Record, worked: bool, totals: Totals) -> None:
        """See `Watcher`."""
        if record.state is not State.DONE:
            self._bar.console.print(f"{record.name}: {record.state}, {record.why}: {record.reason}", markup=False)

    def tick(self, totals: Totals) -> None:
        """See `Watcher`."""
        self._bar.update(self._task, completed=totals.ended, description=in_words(totals))


@contextmanager
def watching(log: Path, as_json: bool) -> Iterator[Watcher]:
    """What tells the user: events if asked for, a bar on a terminal, and always the log file."""
    with ExitStack() as stack:
        watchers: list[Watcher] = [BatchLog(stack.enter_context(log.open("a", encoding="utf-8")))]
        if as_json:
            watchers.append(Events())
        elif sys.stderr.isatty():
            watchers.append(stack.enter_context(Bar()))
        yield Watchers(watchers)


def in_words(totals: Totals) -> str:
    """Done, of how many, studies an hour, time left, failures."""
    words = [f"{totals.done} of {totals.studies} done"]
    if totals.unchanged:
        words[0] += f" ({totals.unchanged} before)"
    if totals.per_hour:
        words.append(f"{totals.per_hour:.0f} an hour")
    if totals.seconds_left is not None and totals.ended < totals.studies:
        minutes = round(totals.seconds_left / 60)
        words.append(f"{minutes // 60}:{minutes % 60:02d} h left")
    words.append(f"{totals.failed} without a result")
    return ", ".join(words)


def tell(event: str, **facts: object) -> None:
    """Print an event."""
    typer.echo(json.dumps({"event": event, **facts}))


def _counts(totals: Totals) -> dict[str, object]:
    return {
        **asdict(totals),
        "seconds": round(totals.seconds, 3),
        "per_hour": round(totals.per_hour, 1),
        "seconds_left": None if totals.seconds_left is None else round(totals.seconds_left),
    }
