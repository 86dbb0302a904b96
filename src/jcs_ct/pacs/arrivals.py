"""Images that have come, by study, until the study is complete.

An image is on the disk, under its own name, before its sender is told of success. A study is closed when nothing of it
has come for a while, or when it has been coming for too long. Closing is one rename, so a kill leaves it open or
closed.

What lies here when a node starts is counted from then on, as its sender may have been cut off and come back.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from jcs_ct.errors import QueueFullError
from jcs_ct.jobs.folders import PRIVATE, sync
from jcs_ct.jobs.settings import GIB
from jcs_ct.pacs.folders import SUFFIX, NodeFolders, digest, image_name
from jcs_ct.pacs.image_file import ImageFile
from jcs_ct.pacs.settings import NodeSettings

IMAGES = "images"
CALLER = "caller"
"""File beside the images: AE title of who sent the first of them."""


@dataclass
class _Coming:
    """A study that may get more images; times are of `Arrivals.clock`."""

    first: float
    last: float
    files: int = 0
    size: int = 0


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
            self._coming[folder.name] = _Coming(now - (time.time() - since), now, len(sizes), sum(sizes))

    def drop_abandoned(self) -> None:
        """Delete what arrived in part and whose sender is gone; a file that still grows is touched by that."""
        for path in self._folders.receiving.iterdir():
            try:
                if time.time() - path.stat().st_mtime > 2 * self._settings.network_timeout_s:
                    path.unlink()
            except FileNotFoundError:
                continue

    def keep(self, image: ImageFile, caller: str) -> str:
        """Put an image that has arrived whole to its study; it is on the disk when this returns.

        Of two images with one SOP Instance UID the later one counts.

        Returns:
            The study, as the folders call it.

        Raises:
            QueueFullError: It would pass a limit.
            OSError: It cannot be written.
        """
        study, size = digest(image.study_uid), image.path.stat().st_size
        if self._free_bytes() < self._settings.min_free_bytes + size:
            raise QueueFullError("the disk is nearly full: free some space, or remove ended jobs")
        sync(image.path)
        with self._lock:
            target = self._folders.arrivals / study / image_name(image.sop_uid)
            replaced = target.stat().st_size if target.exists() else None
            coming = self._coming.get(study) or _Coming(self.clock(), 0)
            files, total = coming.files + (replaced is None), coming.size + size - (replaced or 0)
            self._refuse_too_much(files, total)
            if not target.parent.exists():
                target.parent.mkdir(mode=PRIVATE)
                (target.parent / CALLER).write_text(caller, encoding="utf-8")
                sync(self._folders.arrivals)
            image.path.rename(target)
            sync(target.parent)
            coming.files, coming.size, coming.last = files, total, self.clock()
            self._coming[study] = coming
        return study

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
