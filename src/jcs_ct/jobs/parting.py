"""From one upload with several studies to a job for each: all of them at once, or none.

The job that was handed in keeps the first study and waits again; the others become jobs of the same owner and options.
They count towards the owner's limits like studies that are handed in alone.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from jcs_ct.errors import QueueError, QueueFullError
from jcs_ct.jobs.bounded import NAME_LENGTH, one_line
from jcs_ct.jobs.folders import ONE, PRIVATE, sync_tree
from jcs_ct.jobs.intake import arriving
from jcs_ct.jobs.ledger import Arrival, Claim, Part
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.room import Owner


def part(queue: JobQueue, claim: Claim, studies: Sequence[Path]) -> bool:
    """Make a job of each study of a claimed job.

    Args:
        queue: The store.
        claim: On the job that holds them.
        studies: Their folders, on the disk of the store; they are moved.

    Returns:
        False where the claim was lost, and nothing was done.

    Raises:
        QueueFullError: There is no room for all of them. The message says what to do.
    """
    parts = _parts(claim, studies)
    kept, others = parts[0], parts[1:]
    owner, done = Owner(claim.job.owner, claim.job.source), False
    with ExitStack() as stack:
        try:
            for each in others:
                folder = stack.enter_context(arriving(queue.folders, each.arrival.job_id))
                queue.ledger.reserve(each.arrival.job_id, each.size, owner)
                folder.mkdir(mode=PRIVATE)
                each.folder.rename(folder / "input")
                sync_tree(folder)
            done = queue.ledger.part(claim.token, kept, others)
        except QueueFullError as error:
            raise QueueFullError(
                f"the upload holds {len(parts)} studies, and there is no room for a job for each ({error}): hand them "
                "in a few at a time"
            ) from error
        finally:
            if not done:
                _drop(queue, others)
    if not done:
        return False
    for left in queue.folders.leftovers_of_several(claim.job.id, kept.arrival.study):
        queue.folders.set_aside(left)
    for each in others:
        what = {"what": "upload: study parted", "job": each.arrival.job_id, "owner": owner.name}
        queue.audit.append(who=None, status=None, **what, **{"from": ""}, lasting=True)
    return True


def _parts(claim: Claim, studies: Sequence[Path]) -> list[Part]:
    parts, job = [], claim.job
    for number, folder in enumerate(studies, start=1):
        ending = f" ({number} of {len(studies)})"
        name = one_line(job.name, NAME_LENGTH - len(ending)) + ending
        first = number == 1
        job_id, study = (job.id, ONE) if first else (uuid.uuid4().hex, "")
        arrival = Arrival(job_id, job.owner, name, study, job.options, None, job.source, job.id)
        parts.append(Part(arrival, folder, sync_tree(folder)))
    return parts


def _drop(queue: JobQueue, parts: Sequence[Part]) -> None:
    for each in parts:
        with contextlib.suppress(QueueError):  # the sweep does it later
            queue.ledger.drop_arrival(each.arrival.job_id)
