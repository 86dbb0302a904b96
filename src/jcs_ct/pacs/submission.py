"""From a complete study to a job, once: whatever is killed and when, the study becomes one job of owner "pacs".

The key under which a study is handed in is a digest over the UIDs of the study and of its images. It is written down
before the queue is asked, so who goes on after a kill asks under the same key and gets the job that is there.

- Images that an earlier job of the study has read already make no new job.
- Images that come after the study was handed in make a job of the whole study, earlier images included: what is judged
  is never the part that was late.
- Where earlier jobs failed or were cancelled, the same images make a new job.
- Images that contradict those of an earlier job (another patient, or another sender's image of the same SOP Instance
  UID) make a job of their own, whose name says so; nothing of the two is mixed.
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
from jcs_ct.pacs.arrivals import CALLER, GROUP, IMAGES, PATIENT, callers_of, group_of, same_image
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.folders import SUFFIX, NodeFolders, digest, image_name, write_whole
from jcs_ct.pacs.image_file import ImageFile, read_image_file, sender_of
from jcs_ct.pacs.library import log
from jcs_ct.pacs.records import Records

OWNER = "pacs"
_ORDER = "submission.json"
_APART_MOST = 8
_CONTRADICTS = " [contradicts an earlier study of its UID]"
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
        for name in (CALLER, GROUP, PATIENT):  # no part of the study
            (folder / IMAGES / name).unlink(missing_ok=True)
        first = order.caller.partition(", ")[0]
        job_id = self._queue.submit(
            folder / IMAGES, OWNER, name=order.name, options=self._options, key=order.key, move=True, sender=first
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
        study, apart = self._group(images, first, names)
        there = self._earlier(study, names)
        if there is not None:
            return Submitted(there, new=False)
        names |= self._complete(images, study, names)
        lost = sum(self._state(each.job_id) in _LOST for each in self._records.submits_of(study))
        name = first.name + (_CONTRADICTS if apart else "")
        order = _Order(_key(study, names, lost), study, name, ", ".join(callers_of(images)), len(names))
        write_whole(written, json.dumps(asdict(order)).encode())
        return order

    def _group(self, images: Path, first: ImageFile, names: set[str]) -> tuple[str, bool]:
        """What a study goes by, and whether it contradicts another one of its UID."""
        written = images / GROUP
        noted = written.read_text(encoding="utf-8") if written.exists() else None
        groups = [group_of(first.study_uid, number) for number in range(_APART_MOST)]
        for study in groups[groups.index(noted) if noted in groups else 0 :]:
            if not self._contradicts(study, images, first.patient, names):
                return study, study != groups[0]
        return digest(f"{first.study_uid}/{images.parent.name}"), True

    def _contradicts(self, study: str, images: Path, patient: str, names: set[str]) -> bool:
        """Whether images contradict those of an earlier job."""
        for each in self._records.submits_of(study):
            if self._state(each.job_id) is None:
                continue
            earlier = self._images_of(each.job_id)
            there = _image_names(earlier)
            try:
                if there and read_image_file(earlier / min(there)).patient != patient:
                    return True
                if any(_of_two_senders(earlier / name, images / name) for name in names & there):
                    return True
            except (OSError, InputError):  # the job is being removed
                continue
        return False

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

    def kept(self, sop_uids: Iterable[str], ae_title: str | None = None) -> dict[str, Path]:
        """The files of images that the node keeps, by UID: in an open or a closed study, or in a job.

        Args:
            sop_uids: The images.
            ae_title: Only those that this peer has sent: what others sent is nobody else's business.
        """
        missing = {image_name(uid): uid for uid in sop_uids}
        found: dict[str, Path] = {}
        for folder, callers in self._image_folders():
            for name in missing.keys() & _image_names(folder):
                if ae_title is None or _sent_by(folder / name, ae_title, callers):
                    found[missing.pop(name)] = folder / name
            if not missing:
                break
        return found

    def _image_folders(self) -> Iterator[tuple[Path, list[str]]]:
        """Folders with images, and who sent some of them."""
        for folder in (*self._folders.arrivals.iterdir(), *self._folders.closed.glob(f"*/{IMAGES}")):
            yield folder, callers_of(folder)
        for each in self._records.all_submits():
            with contextlib.suppress(NoSuchJobError):
                yield self._images_of(each.job_id), each.caller.split(", ")

    def forget_removed(self) -> None:
        """Drop what is known of jobs that were removed, and what was still to be sent of them."""
        for each in self._records.all_submits():
            if self._state(each.job_id) is None:
                unsent = [one for one in self._records.deliveries_of(each.job_id) if one.state == "waiting"]
                self._audit.note("job_forgotten", job=each.job_id, unsent=len(unsent))
                self._records.forget(each.job_id)


def _image_names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(f"*{SUFFIX}")}


def _sent_by(image: Path, ae_title: str, callers: list[str]) -> bool:
    try:
        sender = sender_of(image)
    except OSError:
        return False
    # Files of earlier versions do not say who sent them.
    return sender == ae_title or (not sender and callers == [ae_title])


def _of_two_senders(one: Path, other: Path) -> bool:
    first, second = sender_of(one), sender_of(other)
    return bool(first and second) and first != second and not same_image(one, other)


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
