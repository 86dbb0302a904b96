"""Where a node keeps what is its own: the folder `pacs` in the folder of its queue.

node.lock           held by the process that receives
node.sqlite         what was handed in, what is to be sent, and what is to be confirmed
audit.jsonl         who did what, and when
receiving/          what is just arriving; whatever lies here after a start is rubbish
arrivals/STUDY/     images that came whole, one file each; their study may get more
closed/ID/          a study that is complete and on its way into the queue: images/, and submission.json
refused/ID/         a study that the queue would not take
pulling/ID/         what `jcs pacs pull` fetches

STUDY and the names of files are digests of UIDs: peers choose UIDs, and they are nobody's business in a listing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jcs_ct.errors import UsageError
from jcs_ct.jobs.folders import PRIVATE, sync

SUFFIX = ".dcm"


class NodeFolders:
    """The node's folders below the folder of a queue, made where missing."""

    def __init__(self, store: Path) -> None:
        self.root = store.resolve() / "pacs"
        names = ("receiving", "arrivals", "closed", "refused", "pulling")
        self.receiving, self.arrivals, self.closed, self.refused, self.pulling = (self.root / each for each in names)
        try:
            self.root.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            self.root.mkdir(mode=PRIVATE, exist_ok=True)
            for name in names:
                (self.root / name).mkdir(mode=PRIVATE, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{store} cannot hold a node ({error.strerror}); give a --store that may be written"
            ) from error

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.root / "node.sqlite"

    @property
    def audit(self) -> Path:
        """The audit trail."""
        return self.root / "audit.jsonl"

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Be the process that receives and sends, if there is no other: True, else False."""
        handle = os.open(self.root / "node.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)


def digest(uid: str) -> str:
    """The name that a UID has among our files."""
    return hashlib.sha256(uid.encode()).hexdigest()[:40]


def image_name(sop_uid: str) -> str:
    """The file of an image."""
    return digest(sop_uid) + SUFFIX


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole, on the disk, or not at all."""
    aside = path.with_name(f".{path.name}.partial")
    with aside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    aside.rename(path)
    sync(path.parent)
