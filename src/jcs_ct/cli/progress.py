"""How far a command has come: a bar on a terminal, or lines that programs read."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from jcs_ct.cli.process import say
from jcs_ct.notices import texts

if TYPE_CHECKING:
    from jcs_ct.diagnosis.decision import FirstLook
    from jcs_ct.diagnosis.result import Diagnosis


class Progress:
    """A bar on a terminal, nothing in a pipe; a context manager."""

    @property
    def watched(self) -> bool:
        """Whether anybody sees a first look."""
        return self._bar is not None

    def __enter__(self) -> Self:
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty():
            # Here and not at the top: most calls come from a pipe and draw nothing.
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def first_look(self, seen: FirstLook) -> None:
        """What the first few slices tell."""
        if self._bar is not None:
            self._bar.console.print(first_look_in_words(seen))

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` slices begins; 0 where their number is not known."""
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=total or None)

    def advance(self, count: int) -> None:
        """So many slices of the stage are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def result(self, diagnosis: Diagnosis, summary: str) -> str:
        """What is printed once everything is written."""
        return summary


def first_look_in_words(seen: FirstLook) -> str:
    """One line for the terminal."""
    if not seen.assessed:
        return f"first look: no lungs on {seen.seen} slices"
    return f"first look, provisional: {seen.infected} of {seen.assessed} lung slices show signs of infection"


class Stream:
    """One JSON object a line on standard output, each as soon as it is known; a context manager.

    `event` is `first_look`, `stage` or `result`; `seconds` count from the start of the command.
    """

    watched = True

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def first_look(self, seen: FirstLook) -> None:
        """What the first few slices tell."""
        self._tell("first_look", provisional=True, **dataclasses.asdict(seen))

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` slices begins; 0 where their number is not known."""
        self._tell("stage", name=name, total=total)

    def advance(self, count: int) -> None:
        """Not told: a line for every few slices would be noise."""

    def result(self, diagnosis: Diagnosis, summary: str) -> str:
        """What is printed once everything is written."""
        return self._line("result", verdict=diagnosis.verdict, reasons=texts(diagnosis.reasons), summary=summary)

    def _tell(self, event: str, **facts: object) -> None:
        say(self._line(event, **facts))

    def _line(self, event: str, **facts: object) -> str:
        return json.dumps({"event": event, "seconds": round(time.perf_counter() - self._start, 3), **facts})
