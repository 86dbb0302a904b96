"""Revisions of a finished job: corrected outlines and sign-offs, each a whole result of its own.

What the worker made is number 0 and never changes. A change names the revision that it was based on, its parent; if
that is not the latest one, somebody else was faster, and it is refused. A revision is made aside, is on the disk, and
is then renamed into its place within one transaction: whatever is killed and when, it is there as a whole or not at
all. `correct` and `sign_off` compute for seconds: doors call them in a process of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jcs_ct.errors import QueueError
from jcs_ct.jobs.drafts import Revision as Revision
from jcs_ct.jobs.drafts import RevisionKind as RevisionKind
from jcs_ct.jobs.drafts import drafting, history_of, latest_number, while_there
from jcs_ct.jobs.queue import JobQueue

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jcs_ct.jobs.masks import Masks
    from jcs_ct.study.volume import Study


def revisions(queue: JobQueue | Path, job_id: str, owner: str | None = None) -> tuple[Revision, ...]:
    """All revisions of a job, number 0 first.

    Raises:
        NoSuchJobError: There is none of this owner.
        QueueError: The job has no result.
    """
    with _opened(queue) as store, while_there(store, job_id, owner):
        return history_of(store, job_id, owner)


def reports_of(queue: JobQueue | Path, job_id: str, number: int | None = None, owner: str | None = None) -> Path:
    """The folder of the reports of a revision, of the latest one if None. What is in it never changes.

    Raises:
        NoSuchJobError: There is no such job of this owner.
        QueueError: The job has no result, or no such revision.
    """
    with _opened(queue) as store:
        return _folder(store, job_id, number, owner) / "reports"


def masks_of(queue: JobQueue | Path, job_id: str, number: int | None = None, owner: str | None = None) -> Masks:
    """The masks of a revision, of the latest one if None, on the voxels of `study_of`.

    Raises:
        NoSuchJobError: There is no such job of this owner.
        QueueError: The job has no result, or no such revision.
    """
    from jcs_ct.jobs.masks import kept_masks

    with _opened(queue) as store:
        return kept_masks(_folder(store, job_id, number, owner))


def study_of(queue: JobQueue | Path, job_id: str, owner: str | None = None) -> Study:
    """The study of a job, read again as the worker read it: the voxels that masks and outlines lie on.

    Raises:
        NoSuchJobError: There is none of this owner.
        InputError: It cannot be read, which it could when the job was done.
    """
    from jcs_ct.jobs.reviewing import read_again

    with _opened(queue) as store, while_there(store, job_id, owner):
        return read_again(store, store.job(job_id, owner))


def correct(
    queue: JobQueue | Path,
    job_id: str,
    outlines: NDArray[np.bool_],
    by: str,
    parent: int,
    comment: str = "",
    owner: str | None = None,
) -> Revision:
    """Measure corrected outlines and report them; no network runs, and the decision is that of the diagnosis.

    Lungs are those of the diagnosis, so that what was drawn and erased again leaves no trace. A sign-off does not hold
    for the new outlines, and the result says so.

    Args:
        queue: The queue, or the folder of one, opened with the usual settings.
        job_id: The job.
        outlines: (Z, H, W) on the voxels of `study_of`: True in opacities.
        by: User.
        parent: The revision that was corrected.
        comment: Why.
        owner: As everywhere.

    Raises:
        RevisionConflictError: `parent` is not the latest revision.
        NoSuchJobError: There is none of this owner.
        QueueFullError: There is no room for one more result.
        QueueError: The job has no result.
        UsageError: The outlines do not fit the study, or it must not be measured.
    """
    from jcs_ct.jobs.reviewing import write_correction

    with _opened(queue) as store, drafting(store, job_id, owner, parent) as draft:
        made = write_correction(draft, outlines, by, comment)
        return draft.add(made)


def sign_off(
    queue: JobQueue | Path,
    job_id: str,
    judgement: str,
    by: str,
    comment: str,
    parent: int,
    owner: str | None = None,
) -> Revision:
    """Accept or reject a result; its reports are amended, and nothing is measured again.

    Args:
        queue: The queue, or the folder of one, opened with the usual settings.
        job_id: The job.
        judgement: "accepted" or "rejected".
        by: User.
        comment: Why; may be empty.
        parent: The revision that was looked at.
        owner: As everywhere.

    Raises:
        RevisionConflictError: `parent` is not the latest revision.
        NoSuchJobError: There is none of this owner.
        QueueFullError: There is no room for one more result.
        QueueError: The job has no result.
        UsageError: There is no such judgement, or a name or a comment is not one.
    """
    from jcs_ct.jobs.reviewing import write_sign_off

    with _opened(queue) as store, drafting(store, job_id, owner, parent) as draft:
        made = write_sign_off(draft, judgement, by, comment)
        return draft.add(made)


@contextmanager
def _opened(queue: JobQueue | Path) -> Iterator[JobQueue]:
    if isinstance(queue, JobQueue):
        yield queue
        return
    with JobQueue(queue) as opened:
        yield opened


def _folder(store: JobQueue, job_id: str, number: int | None, owner: str | None) -> Path:
    with while_there(store, job_id, owner):
        store.reports_path(job_id, owner)
        latest = latest_number(store.folders.revisions(job_id))
    if number is not None and not 0 <= number <= latest:
        raise QueueError(f"job {job_id} has no revision {number}; expected one of 0 to {latest}")
    return store.folders.revision(job_id, latest if number is None else number)
