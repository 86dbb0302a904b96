"""Progress of a diagnosis."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives progress. `cli.progress` has one that draws a bar."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` slices begins; 0 if the number is unknown."""

    def advance(self, count: int) -> None:
        """`count` more slices of the stage are done."""


class SilentReporter:
    """Discards all progress."""

    def stage(self, name: str, total: int) -> None:
        """See `Reporter`."""

    def advance(self, count: int) -> None:
        """See `Reporter`."""
