"""Where a queue keeps its files, and how they are made to outlast a loss of power.

queue.sqlite        what is known of each job
audit.jsonl         who did what, and what was removed by age or number
jobs/ID/input       the study; in `.one`, where what was handed in turned out to be several studies
jobs/ID/attempt-…   what a worker is writing; named after its claim
jobs/ID/result      a finished attempt: reports, masks and outcome.json; it appears as a whole
jobs/ID/revisions   what users made of the result: 0001, 0002 … with reports, masks and revision.json, each as a whole
incoming/ID         a study that is being handed in, or a revision that is being made, with ID.lock, which its process
                    holds
workers/ID          a worker's sign of life
trash               what is about to be deleted
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

ONE = ".one"
"""The file below the input that a job of an input with several studies has. Hidden: a reader of the input skips it."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PRIVATE = 0o700
"""Studies are patients': of this user only."""


class Folders:
    """The folders of the queue at `root`, made where missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.jobs, self.incoming, self.workers, self.trash = (
            self.root / name for name in ("jobs", "incoming", "workers", "trash")
        )
        self.root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        for folder in (self.jobs, self.incoming, self.workers, self.trash):
            folder.mkdir(mode=PRIVATE, exist_ok=True)

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.root / "queue.sqlite"

    @property
    def audit(self) -> Path:
        """The audit trail."""
        return self.root / "audit.jsonl"

    def job(self, job_id: str) -> Path:
        """All that belongs to a job."""
        return self.jobs / job_id

    def study(self, job_id: str, study: str) -> Path:
        """The study of a job; `study` is its file below the input, or empty where the input is the study."""
        return self.job(job_id) / "input" / study

    def leftovers_of_several(self, job_id: str, study: str) -> list[Path]:
        """What is left of an input that was parted into several studies, of which this job has kept one."""
        return [] if study != ONE else [path for path in self.study(job_id, "").iterdir() if path.name != ONE]

    def attempt(self, job_id: str, claim: str) -> Path:
        """What the holder of a claim writes into."""
        return self.job(job_id) / f"attempt-{claim}"

    def result(self, job_id: str) -> Path:
        """The finished attempt; there as a whole, or not."""
        return self.job(job_id) / "result"

    def reports(self, job_id: str) -> Path:
        """The reports of a finished job."""
        return self.result(job_id) / "reports"

    def outcome(self, job_id: str) -> Path:
        """What finishes the job if its worker was killed between publishing and saying so."""
        return self.result(job_id) / "outcome.json"

    def revisions(self, job_id: str) -> Path:
        """What users made of a result; not there before there is any."""
        return self.job(job_id) / "revisions"

    def revision(self, job_id: str, number: int) -> Path:
        """A revision; the result itself is number 0."""
        return self.revisions(job_id) / f"{number:04d}" if number else self.result(job_id)

    def result_bytes(self, job_id: str) -> int:
        """Of all that belongs to a job beyond its study; what several names lead to is there once."""
        sizes = {}
        for part in self.job(job_id).iterdir():
            if part.name == "input" or part.name.startswith("attempt-"):
                continue
            for path in (part, *part.rglob("*")):
                with contextlib.suppress(FileNotFoundError):  # what doors keep for themselves comes and goes
                    seen = path.lstat()
                    if stat.S_ISREG(seen.st_mode):
                        sizes[seen.st_ino] = seen.st_size
        return sum(sizes.values())

    def without_places(self, error: Exception, study: Path) -> str:
        """An error in words: where a study lies is nobody's business, and is another place than where it came from."""
        return str(error).replace(str(study), "the study").replace(str(self.root), "…")

    def free_bytes(self) -> int:
        """Free on the disk."""
        return shutil.disk_usage(self.root).free

    def set_aside(self, path: Path) -> None:
        """Take a folder out of the way at once; `empty_trash` deletes it."""
        with contextlib.suppress(FileNotFoundError):
            path.rename(self.trash / uuid.uuid4().hex)

    def empty_trash(self) -> None:
        """Delete what was set aside; others may do the same at the same time."""
        for path in self.trash.iterdir():
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink()


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(root: Path) -> int:
    """Have all below a folder written to the disk.

    Returns:
        Bytes of the files.
    """
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            sync(path)
            total += path.stat().st_size
        sync(Path(folder))
    return total


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Have `tempfile` use a folder meanwhile: what is unpacked lies on the same disk, and a kill leaves it there.

    It is one for the whole process, not for a thread.
    """
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def publish(source: Path, target: Path) -> None:
    """Rename a folder that is complete and on the disk into its place; again is the same as once."""
    if source.exists():
        source.rename(target)
    sync(target.parent)
    sync(source.parent)
