"""What a worker does with a study: a function that the queue is given by its import path, and knows nothing else of.

A factory is called once in each worker, and what it returns once for each job:

    def prepare(threads: int | None, **task_settings) -> Task
    def task(study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome

A task that finds several studies where it expects one raises `SeveralStudiesFound`; each of them becomes a job.

The task writes into the folder `reports`, which it makes. It raises a JcsError where the study cannot be diagnosed, and
is then not tried again; MemoryError or OSError (disk full), also as the cause of a JcsError, are tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jcs_ct.errors import SeveralStudiesError, UsageError
from jcs_ct.jobs.job import JobOptions, Outcome
from jcs_ct.jobs.settings import QueueSettings

if TYPE_CHECKING:
    from jcs_ct.diagnosis.reporter import Reporter  # takes seconds to import, and doors use the queue without it


class SeveralStudiesFound(Exception):  # noqa: N818  (nothing went wrong)
    """A study turned out to be several.

    Args:
        refusal: Lists them, for who wants one.
        studies: Where each of them lies: within the folder of the reports, or beside it.
    """

    def __init__(self, refusal: SeveralStudiesError, studies: tuple[Path, ...]) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.studies = studies


class Task(Protocol):
    """Works off one study."""

    def __call__(self, study: Path, reports: Path, options: JobOptions, reporter: Reporter) -> Outcome:
        """Diagnose `study` and write `reports`."""


def load_task(settings: QueueSettings) -> Task:
    """Make the task that the settings name.

    Raises:
        UsageError: There is no such function.
        JcsError: It cannot do its work here, for lack of weights, say.
    """
    prepare = function_named(settings.task, "module:function of a task")
    task: Task = prepare(threads=settings.threads, **settings.task_settings)
    return task


def function_named(task: str, expected: str = "module:function") -> Callable[..., Any]:
    """The function that a setting `task` names by its import path.

    Raises:
        UsageError: There is no such function.
    """
    module, _, function = task.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"task: found {task!r} ({error}), expected {expected}") from error
    return found
