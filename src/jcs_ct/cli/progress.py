"""How far a command has come, on a terminal."""

from __future__ import annotations

import sys
from typing import Any, Self


class Progress:
    """A bar on a terminal, nothing in a pipe; a context manager."""

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
