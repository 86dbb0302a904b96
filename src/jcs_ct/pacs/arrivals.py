"""Images that have come, by study, until the study is complete.

An image is on the disk, under its own name, before its sender is told of success. A study is closed when nothing of it
has come for a while, or when it has been coming for too long. Closing is one rename, so a kill leaves it open or
closed.

Two images of one Study Instance UID belong together unless they contradict each other: they name two patients, or two
senders have sent different images under one SOP Instance UID. Then neither replaces the other: what came later is kept
apart, as a study of its own.

What lies here when a node starts is counted from then on, as its sender may have been cut off and come back.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from jcs_ct.errors import QueueFullError, QuotaError
from jcs_ct.jobs.folders import PRIVATE, sync
from jcs_ct.jobs.settings import GIB
from jcs_ct.pacs.folders import SUFFIX, NodeFolders, digest, image_name
from jcs_ct.pacs.image_file import PREAMBLE, ImageFile, sender_of, write_sender
from jcs_ct.pacs.settings import NodeSettings

IMAGES = "images"
_CHUNK = 1024**2
_LOOK_S = 10.0
CALLER = "caller"
"""File beside the images: AE titles of who sent them, a line each, the first one first."""
GROUP = "group"
"""File beside the images: what the study goes by, where that is not the digest of its UID alone."""
PATIENT = "patient"
"""File beside the images: digest of who they say that they are of."""
_APART_MOST = 8
"""Studies that one Study Instance UID may be."""


@dataclass(frozen=True)
class Kept:
    """Where an image was put."""

    study: str
    """As the folders call it."""
    apart: bool
    """Whether it contradicts what was there under its Study Instance UID."""


@dataclass
class _Coming:
    """A study that may get more images; times are of `Arrivals.clock`."""

    first: float
    last: float
    files: int = 0
    size: int = 0
    caller: str = ""
    """Who sent the first image."""


class Arrivals:
    """The open studies of one node.

    Args:
        folders: Of the node.
        settings: Quiet period and limits.
        clock: Seconds that only grow.
    """

    def __init__(
        self, folders: NodeFolders, settings: NodeSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folders = folders
        self._settings = settings
        self.clock = clock
        self._lock = threading.Lock()
        self._coming: dict[str, _Coming] = {}
        self._waiting: Counter[str] = Counter()
        """Bytes of closed studies, by caller."""
        self._waiting_at = -_LOOK_S
        self._growing: dict[str, tuple[int, float]] = {}
        """Sizes of what is arriving, and since when each has been that."""

    def recover(self) -> None:
        """Go on after a restart: forget what arrived in part, and count what lies here."""
        for path in self._folders.receiving.iterdir():
            path.unlink(missing_ok=True)
        for folder in self._folders.arrivals.iterdir():
            sizes, since = [], time.time()
            for path in folder.iterdir():
                seen = path.stat()
                if path.suffix == SUFFIX:
                    sizes.append(seen.st_size)
                    since = min(since, seen.st_mtime)
            if not sizes:
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()
                continue
            now = self.clock()
            # A clock that jumped may say anything: nothing came in the future, and nothing waits for ever.
            age = min(max(time.time() - since, 0.0), self._settings.longest_s)
            self._coming[folder.name] = _Coming(now - age, now, len(sizes), sum(sizes), (callers_of(folder) or [""])[0])

    def drop_abandoned(self) -> None:
        """Delete what arrived in part and whose sender is gone: what has not grown for as long as we looked."""
        now, seen = self.clock(), {}
        for path in self._folders.receiving.iterdir():
            try:
                size = path.stat().st_size
                known, since = self._growing.get(path.name, (-1, now))
                since = since if known == size else now
                if now - since > 2 * self._settings.network_timeout_s:
                    path.unlink()
                else:
                    seen[path.name] = size, since
            except FileNotFoundError:
                continue
        self._growing = seen

    def keep(self, image: ImageFile, caller: str) -> Kept:
        """Put an image that has arrived whole to its study; it is on the disk when this returns.

        Of two images with one SOP Instance UID from one sender the later one counts.

        Raises:
            QueueFullError: It would pass a limit.
            OSError: It cannot be written.
        """
        size = image.path.stat().st_size
        if self._free_bytes() < self._settings.min_free_bytes + size:
            raise QueueFullError("the disk is nearly full: free some space, or remove ended jobs")
        write_sender(image.path, caller)
        sync(image.path)
        with self._lock:
            study, apart = self._place_of(image, caller)
            target = self._folders.arrivals / study / image_name(image.sop_uid)
            replaced = target.stat().st_size if target.exists() else None
            coming = self._coming.get(study) or _Coming(self.clock(), 0, caller=caller)
            files, total = coming.files + (replaced is None), coming.size + size - (replaced or 0)
            self._refuse_too_much(files, total)
            self._refuse_more_than_share(caller, size)
            if not target.parent.exists():
                target.parent.mkdir(mode=PRIVATE)
                (target.parent / CALLER).write_text(caller, encoding="utf-8")
                (target.parent / PATIENT).write_text(image.patient, encoding="utf-8")
                if apart:
                    (target.parent / GROUP).write_text(study, encoding="utf-8")
                sync(self._folders.arrivals)
            elif caller not in (callers := callers_of(target.parent)):
                (target.parent / CALLER).write_text("\n".join([*callers, caller]), encoding="utf-8")
            image.path.rename(target)
            sync(target.parent)
            coming.files, coming.size, coming.last = files, total, self.clock()
            self._coming[study] = coming
        return Kept(study, apart)

    def _place_of(self, image: ImageFile, caller: str) -> tuple[str, bool]:
        """The study that an image goes to, and whether that is one apart from the first of its UID."""
        for number in range(_APART_MOST):
            study = group_of(image.study_uid, number)
            folder = self._folders.arrivals / study
            if not folder.exists() or not _contradicts(folder, image, caller):
                return study, number > 0
        raise QueueFullError(f"the study contradicts itself in {_APART_MOST} ways; expected images of one study")

    def disk_is_full(self) -> bool:
        """Whether not even half of what is to stay free is: an image that is coming cannot be finished."""
        return self._free_bytes() < self._settings.min_free_bytes // 2

    def _free_bytes(self) -> int:
        left = os.statvfs(self._folders.root)
        return left.f_bavail * left.f_frsize

    def _refuse_too_much(self, files: int, size: int) -> None:
        limits = self._settings
        if files > limits.max_study_files:
            raise QueueFullError(f"the study has more than {limits.max_study_files} images, expected at most so many")
        if size > limits.max_study_bytes:
            raise QueueFullError(f"the study has more than {limits.max_study_bytes / GIB:.2f} GiB, expected at most so")

    def _refuse_more_than_share(self, caller: str, size: int) -> None:
        """See that one peer leaves room on the disk for others; what waits for the queue, or was refused, counts."""
        now = self.clock()
        if now - self._waiting_at > _LOOK_S:
            self._waiting, self._waiting_at = self._look_at_closed(), now
        used = Counter(self._waiting)
        for coming in self._coming.values():
            used[coming.caller] += coming.size
        room = sum(used.values()) + self._free_bytes() - self._settings.min_free_bytes
        if used[caller] + size > self._settings.peer_share * room:
            raise QuotaError(f"what {caller} has sent fills its share of the disk: expected others to have room, too")

    def _look_at_closed(self) -> Counter[str]:
        sizes: Counter[str] = Counter()
        for folder in (*self._folders.closed.glob(f"*/{IMAGES}"), *self._folders.refused.glob(f"*/{IMAGES}")):
            caller = (callers_of(folder) or [""])[0]
            for path in folder.glob(f"*{SUFFIX}"):
                try:
                    sizes[caller] += path.stat().st_size
                except FileNotFoundError:  # the queue takes it
                    continue
        return sizes

    def touch(self, studies: Iterable[str]) -> None:
        """Something is being sent by who sent images of these studies: none of them is quiet."""
        with self._lock:
            for study in studies:
                if study in self._coming:
                    self._coming[study].last = self.clock()

    def due(self) -> tuple[str, ...]:
        """The studies that are complete by now."""
        now, settings = self.clock(), self._settings
        with self._lock:
            return tuple(
                study
                for study, coming in self._coming.items()
                if now - coming.last >= settings.quiet_s or now - coming.first >= settings.longest_s
            )

    def close(self, study: str) -> Path | None:
        """Take a study as complete; images of it that come later begin anew.

        Returns:
            Its folder below `closed`; None if there is no such study.
        """
        with self._lock:
            source = self._folders.arrivals / study
            if self._coming.pop(study, None) is None or not source.exists():
                return None
            folder = self._folders.closed / uuid.uuid4().hex
            folder.mkdir(mode=PRIVATE)
            source.rename(folder / IMAGES)
            for changed in (folder, self._folders.closed, self._folders.arrivals):
                sync(changed)
        return folder

    def files_of(self, study: str) -> int:
        """How many images of a study have come since it was last closed."""
        with self._lock:
            coming = self._coming.get(study)
            return 0 if coming is None else coming.files


def group_of(study_uid: str, number: int = 0) -> str:
    """What the studies of one UID go by: the first one, and those that contradict it."""
    return digest(study_uid if number == 0 else f"{study_uid}/{number}")


def callers_of(folder: Path) -> list[str]:
    """AE titles of who sent images of a study, the first one first."""
    try:
        return [line for line in (folder / CALLER).read_text(encoding="utf-8").splitlines() if line]
    except OSError:
        return []


def patient_of(folder: Path) -> str:
    """Digest of the patient of a study; empty where it is not known."""
    try:
        return (folder / PATIENT).read_text(encoding="utf-8")
    except OSError:
        return ""


def _contradicts(folder: Path, image: ImageFile, caller: str) -> bool:
    known = patient_of(folder)
    if known and known != image.patient:
        return True
    there = folder / image_name(image.sop_uid)
    return there.exists() and sender_of(there) not in ("", caller) and not same_image(there, image.path)


def same_image(one: Path, other: Path) -> bool:
    """Whether two files hold the same, whoever sent them."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        first.seek(PREAMBLE)
        second.seek(PREAMBLE)
        while chunk := first.read(_CHUNK):
            if chunk != second.read(_CHUNK):
                return False
    return True
