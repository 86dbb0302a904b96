"""From a complete study to a job, once: whatever is killed and when, the study becomes one job of owner "pacs".

The key under which a study is handed in is a digest over the UIDs of the study and of its images. It is written down
before the queue is asked, so who goes on after a kill asks under the same key and gets the job that is there.

- Images that an earlier job of the study has read already make no new job.
- Images that come after the study was handed in make a job of the whole study, earlier images included: what is judged
  is never the part that was late.
- Where earlier jobs failed or were cancelled, the same images make a new job.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from jcs_ct.errors import InputError, JcsError, NoSuchJobError
from jcs_ct.jobs.folders import sync
from jcs_ct.jobs.job import JobOptions, JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.pacs.arrivals import CALLER, IMAGES
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.folders import SUFFIX, NodeFolders, digest, image_name, write_whole
from jcs_ct.pacs.image_file import read_image_file
from jcs_ct.pacs.library import log
from jcs_ct.pacs.records import Records

OWNER = "pacs"
_ORDER = "submission.json"
_LOST = (JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class _Order:
    """How a closed study is handed in; written down before it is."""

    key: str
    study: str
    name: str
    caller: str
    images: int


@dataclass(frozen=True)
class Submitted:
    """What became of a closed study."""

    job_id: str
    new: bool
    """False: an earlier job has read all of it."""


class SubmissionDesk:
    """The way from `closed` (and `pulling`) into the queue."""

    def __init__(
        self, folders: NodeFolders, queue: JobQueue, records: Records, audit: Audit, options: JobOptions
    ) -> None:
        self._folders = folders
        self._queue = queue
        self._records = records
        self._audit = audit
        self._options = options

    def waiting(self) -> tuple[Path, ...]:
        """Closed studies that are no jobs yet, or are not known to be."""
        return tuple(sorted(self._folders.closed.iterdir()))

    def submit(self, folder: Path) -> Submitted | None:
        """Make a job of a closed study, and remove it here; again is the same as once.

        Returns:
            The job; None if there was nothing in the folder, or the queue refuses it for good. Then it is set aside in
            `refused`.

        Raises:
            QueueError: The queue cannot take it now; everything is left as it is.
        """
        try:
            order = self._order(folder)
            if isinstance(order, _Order):
                return self._submit(folder, order)
            if order is not None:
                self._audit.note("study_repeated", job=order.job_id)
            shutil.rmtree(folder, ignore_errors=True)
        except InputError as error:
            self._refuse(folder, error)
            return None
        return order

    def _submit(self, folder: Path, order: _Order) -> Submitted:
        (folder / IMAGES / CALLER).unlink(missing_ok=True)  # no part of the study
        job_id = self._queue.submit(
            folder / IMAGES, OWNER, name=order.name, options=self._options, key=order.key, move=True
        )
        self._records.add_submit(job_id, order.study, order.caller)
        self._audit.note("study_handed_in", who=order.caller, study=order.study, images=order.images, job=job_id)
        log.info("job %s: study with %d images handed in", job_id, order.images)
        shutil.rmtree(folder, ignore_errors=True)
        return Submitted(job_id, new=True)

    def _order(self, folder: Path) -> _Order | Submitted | None:
        written = folder / _ORDER
        if written.exists():
            return _Order(**json.loads(written.read_text(encoding="utf-8")))
        images = folder / IMAGES
        if not images.is_dir():
            return None
        names = _image_names(images)
        if not names:
            return None
        first = read_image_file(images / min(names))
        study = digest(first.study_uid)
        there = self._earlier(study, names)
        if there is not None:
            return Submitted(there, new=False)
        names |= self._complete(images, study, names)
        lost = sum(self._state(each.job_id) in _LOST for each in self._records.submits_of(study))
        order = _Order(_key(study, names, lost), study, first.name, _caller(images / CALLER), len(names))
        write_whole(written, json.dumps(asdict(order)).encode())
        return order

    def _earlier(self, study: str, names: set[str]) -> str | None:
        """A job that has read all these images, or is going to."""
        for each in self._records.submits_of(study):
            state = self._state(each.job_id)
            if state is not None and state not in _LOST and names <= _image_names(self._images_of(each.job_id)):
                return each.job_id
        return None

    def _complete(self, images: Path, study: str, names: set[str]) -> set[str]:
        """Add to late images those of the study that an earlier job holds; the names of those added."""
        added: set[str] = set()
        for each in self._records.submits_of(study):
            if self._state(each.job_id) is None:
                continue
            earlier = self._images_of(each.job_id)
            for name in _image_names(earlier) - names - added:
                with contextlib.suppress(FileNotFoundError):  # the job is being removed
                    _link(earlier / name, images / name)
                    added.add(name)
        sync(images)
        return added

    def _state(self, job_id: str) -> JobState | None:
        try:
            return self._queue.job(job_id, OWNER).state
        except NoSuchJobError:
            return None

    def _images_of(self, job_id: str) -> Path:
        return self._queue.study_path(job_id, OWNER)

    def _refuse(self, folder: Path, error: JcsError) -> None:
        log.error("a study is refused and set aside in %s: %s", self._folders.refused.name, error)
        self._audit.note("study_refused", folder=folder.name, reason=str(error))
        folder.rename(self._folders.refused / folder.name)

    def kept(self, sop_uids: Iterable[str]) -> dict[str, Path]:
        """The files of images that the node keeps, by UID: in an open or a closed study, or in a job."""
        missing = {image_name(uid): uid for uid in sop_uids}
        found: dict[str, Path] = {}
        for folder in self._image_folders():
            for name in missing.keys() & _image_names(folder):
                found[missing.pop(name)] = folder / name
            if not missing:
                break
        return found

    def _image_folders(self) -> Iterator[Path]:
        yield from self._folders.arrivals.iterdir()
        yield from self._folders.closed.glob(f"*/{IMAGES}")
        for each in self._records.all_submits():
            with contextlib.suppress(NoSuchJobError):
                yield self._images_of(each.job_id)

    def forget_removed(self) -> None:
        """Drop what is known of jobs that were removed, and what was still to be sent of them."""
        for each in self._records.all_submits():
            if self._state(each.job_id) is None:
                unsent = [one for one in self._records.deliveries_of(each.job_id) if one.state == "waiting"]
                self._audit.note("job_forgotten", job=each.job_id, unsent=len(unsent))
                self._records.forget(each.job_id)


def _image_names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(f"*{SUFFIX}")}


def _caller(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(source, target)
        sync(target)


def _key(study: str, names: set[str], lost: int) -> str:
    joined = "\n".join([study, *sorted(names)])
    return hashlib.sha256(joined.encode()).hexdigest() + (f"/{lost}" if lost else "")
