"""Takes a study into the queue's own store, trusting neither names nor links, nor that it stays as it is meanwhile.

What is handed in is looked over first, so that too much of it is refused before anything is copied, and copied as it
was looked over: a file that has grown since is refused. Links are refused and not skipped, as what was sent would then
not be what is read. Names below a folder are kept, since the order of pictures is in them; the study itself gets a name
of ours.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jcs_ct.errors import InputError, JcsError, QueueError, QueueFullError, UnsupportedInputError
from jcs_ct.jobs.bounded import NAME_LENGTH, one_line
from jcs_ct.jobs.folders import DISK_FULL, PRIVATE, Folders, sync_tree
from jcs_ct.jobs.job import JobOptions
from jcs_ct.jobs.ledger import Arrival, Ledger
from jcs_ct.jobs.room import Owner
from jcs_ct.jobs.settings import GIB, QueueSettings

_SUFFIXES = (".nii.gz", ".nii", ".zip", ".dcm", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# Another disk, a disk that knows no links, a file that is not ours, or one with too many names.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK)
_CHUNK = 1024**2
_YOUNG_S = 10.0
"""A lock file so young may have been made, and not yet been locked."""


@dataclass(frozen=True)
class _Found:
    """What an input holds: its files relative to it (its own name is empty), each with its size."""

    is_folder: bool
    files: tuple[tuple[Path, int], ...]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)


class Intake:
    """The way of studies into one store."""

    def __init__(self, ledger: Ledger, folders: Folders, settings: QueueSettings) -> None:
        self._ledger = ledger
        self._folders = folders
        self._max_bytes = settings.max_input_bytes
        self._max_files = settings.max_files

    def take(
        self, source: Path, owner: Owner, name: str | None, options: JobOptions, key: str | None, move: bool
    ) -> str:
        """Make a job of a study; returns when it would outlast a loss of power.

        Args:
            source: A file or a folder.
            owner: Whose job it is, and whose limits count.
            name: What to call it on a screen; the name of `source` if None.
            options: Of the job.
            key: Names what is handed in. Who was killed and does not know whether it arrived hands it in again under
                the same key, and gets the job that is there.
            move: Leave nothing at `source`. It goes last: until the job is there, it is left as it is.

        Returns:
            The id of the job.

        Raises:
            InputError: There is nothing, or it cannot be read.
            UnsupportedInputError: It holds links, what is no file, or too much.
            QueueFullError: The queue has no room for it.
        """
        arrived = None if key is None else self._ledger.known(owner.name, key)
        job_id = arrived or self._bring_in(source, owner, name, options, key, move)
        if move:
            _discard(source)
        return job_id

    def _bring_in(
        self, source: Path, owner: Owner, name: str | None, options: JobOptions, key: str | None, move: bool
    ) -> str:
        found = self._look_over(source)
        job_id = uuid.uuid4().hex
        study = "" if found.is_folder else "study" + known_suffix(source.name)
        shown = one_line(source.name if name is None else name, NAME_LENGTH)
        arrival = Arrival(job_id, owner.name, shown, study, options, key, owner.source)
        with arriving(self._folders, job_id) as folder:
            self._ledger.reserve(job_id, found.size, owner)
            try:
                _fill(folder, study, source, found, move)
                return self._ledger.admit(arrival, sync_tree(folder))
            except BaseException:
                with contextlib.suppress(QueueError):  # the sweep does it later
                    self._ledger.drop_arrival(job_id)
                raise

    def _look_over(self, source: Path) -> _Found:
        try:
            kind = source.lstat()
        except (OSError, ValueError) as error:
            raise InputError("the study does not exist, or may not be read; expected a file or a folder") from error
        if not stat.S_ISDIR(kind.st_mode):
            return self._within_bounds(_Found(False, ((Path(), _size_of(kind, source.name)),)))
        files = []
        for folder, subfolders, names in os.walk(source, onerror=_refuse):
            relative = Path(folder).relative_to(source)
            for name in (*subfolders, *names):
                seen = Path(folder, name).lstat()
                if not stat.S_ISDIR(seen.st_mode):
                    files.append((relative / name, _size_of(seen, name)))
            if len(files) > self._max_files:
                raise UnsupportedInputError(f"the study has more than {self._max_files} files: give one study")
        if not files:
            raise InputError("the folder holds no files; expected a study")
        return self._within_bounds(_Found(True, tuple(sorted(files))))

    def _within_bounds(self, found: _Found) -> _Found:
        if found.size > self._max_bytes:
            raise UnsupportedInputError(
                f"the study has {found.size / GIB:.2f} GiB, expected at most {self._max_bytes / GIB:.2f}: "
                "give one study"
            )
        return found


@contextmanager
def arriving(folders: Folders, job_id: str) -> Iterator[Path]:
    """A place for what arrives. Its lock tells the sweep that somebody is at work; it ends with the process."""
    lock = folders.incoming / f"{job_id}.lock"
    handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folders.incoming / job_id
    finally:
        shutil.rmtree(folders.incoming / job_id, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(handle)


def is_abandoned(lock: Path) -> bool:
    """Whether the process is gone that held the lock of an arrival."""
    try:
        handle = os.open(lock, os.O_WRONLY)
    except FileNotFoundError:
        return False
    try:
        if time.time() - os.fstat(handle).st_mtime < _YOUNG_S:
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _size_of(seen: os.stat_result, name: str) -> int:
    if stat.S_ISLNK(seen.st_mode):
        raise UnsupportedInputError(
            f"{one_line(name, NAME_LENGTH)} is a symbolic link; expected files: hand in what the link leads to"
        )
    if not stat.S_ISREG(seen.st_mode):
        raise UnsupportedInputError(
            f"{one_line(name, NAME_LENGTH)} is neither a file nor a folder; expected the files of a study"
        )
    return seen.st_size


def _refuse(error: OSError) -> None:
    raise InputError(f"a folder of the study cannot be listed ({error.strerror}): check that it may be read") from error


def _fill(folder: Path, study: str, source: Path, found: _Found, move: bool) -> None:
    target = folder / "input" / study
    made = {folder / "input"}
    try:
        folder.mkdir(mode=PRIVATE)
        (folder / "input").mkdir()
        for name, size in found.files:
            if (target / name).parent not in made:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                made.add((target / name).parent)
            with _opened(source, name) as original:
                if not (move and _linked(source / name, target / name, original, size)):
                    _copy(original, target / name, size)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise QueueFullError("the queue's disk is full: free some space, or remove ended jobs") from error
        raise InputError(f"the study cannot be copied into the queue ({error.strerror}): may it be read?") from error


def _linked(source: Path, target: Path, original: int, size: int) -> bool:
    """Give a file a second name in the store, which costs no time; False where that cannot be done."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    linked, opened = target.lstat(), os.fstat(original)
    if (linked.st_dev, linked.st_ino, linked.st_size) != (opened.st_dev, opened.st_ino, size):
        raise _changed()
    return True


def _copy(original: int, target: Path, size: int) -> None:
    left = size
    with target.open("xb") as stream:
        while left and (chunk := os.read(original, min(_CHUNK, left))):
            stream.write(chunk)
            left -= len(chunk)
    if left or os.read(original, 1):
        raise _changed()


@contextmanager
def _opened(source: Path, name: Path) -> Iterator[int]:
    """A file below a folder, or the file itself, opened without following links on the way from `source`."""
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        for part in name.parts:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
            os.close(handle)
            handle = inner
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _changed()
        yield handle
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR):
            raise _changed() from error
        raise
    finally:
        os.close(handle)


def _changed() -> JcsError:
    return InputError("the study changed while it was copied into the queue; expected it complete: hand it in again")


def known_suffix(name: str) -> str:
    """What a name says of its file's kind, and no more: the rest of it may be the patient's."""
    return next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")


def _discard(source: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.rmtree(source, ignore_errors=True)
    else:
        source.unlink(missing_ok=True)
