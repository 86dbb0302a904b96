"""What runs the studies of a batch in many processes: one small interface, with a local pool and Ray behind it.

An engine knows nothing of studies. It is given tasks, has a worker do each, and says how each ended: with what the
worker returned, or with the death of the worker. What follows from that is the driver's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Record, Why
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.jobs.task import function_named


@dataclass(frozen=True)
class Did:
    """What a worker made of a study. Small: it travels between machines, and holds no voxels."""

    record: Record | None
    """What is known of the study now; None where somebody else works on it."""
    worked: bool
    """False where there was nothing to do."""


@dataclass(frozen=True)
class Ended:
    """How a task ended."""

    item: Item
    did: Did | None = None
    """None where the worker did not come to its end."""
    why: Why | None = None
    """What became of the worker then; None where the study is not at fault: a machine was lost, say."""
    detail: str = ""


Work = Callable[[Item], Did]
"""Does one study. A JcsError that it raises is no fault of the study's, and ends the batch; after a MemoryError the
worker is not used again."""


class Engine(Protocol):
    """Runs tasks."""

    @property
    def workers(self) -> int:
        """How many tasks run at once."""

    def start(self, item: Item) -> None:
        """Have a worker do a study. No more than `workers` are started before the first has ended."""

    def wait(self, seconds: float) -> Sequence[Ended]:
        """What has ended, as soon as anything has, or nothing after so many seconds.

        Raises:
            JcsError: no worker can begin, or a worker found a fault that is not a study's.
        """

    def close(self) -> None:
        """Kill what still runs, and return when it is gone."""


def load_work(settings: WorkSettings) -> Work:
    """Make what does a study, in a worker.

    Raises:
        UsageError: there is no such function.
        JcsError: it cannot do its work here, for lack of weights, say.
    """
    work: Work = function_named(settings.task)(settings)
    return work
