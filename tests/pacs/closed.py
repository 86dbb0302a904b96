"""Studies that are complete, for tests of what becomes of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jcs_ct.jobs.job import JobOptions
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.pacs.arrivals import CALLER, IMAGES
from jcs_ct.pacs.audit import Audit
from jcs_ct.pacs.folders import NodeFolders, image_name
from jcs_ct.pacs.records import Records
from jcs_ct.pacs.submission import SubmissionDesk
from tests.jobs.stores import quick


@contextmanager
def desk_at(folder: Path, settings: QueueSettings | None = None) -> Iterator[tuple[SubmissionDesk, JobQueue, Records]]:
    """A desk on the store in `folder`."""
    folders = NodeFolders(folder / "store")
    queue, records = JobQueue(folder / "store", settings or quick(folder)), Records(folders.database)
    try:
        yield SubmissionDesk(folders, queue, records, Audit(folders.audit), JobOptions()), queue, records
    finally:
        records.close()
        queue.close()


def close_study(folder: Path, images: dict[str, Path]) -> Path:
    """A closed study with these images, by SOP Instance UID."""
    closed = NodeFolders(folder / "store").closed / uuid.uuid4().hex
    (closed / IMAGES).mkdir(parents=True)
    (closed / IMAGES / CALLER).write_text("PEER")
    for uid, path in images.items():
        (closed / IMAGES / image_name(uid)).write_bytes(path.read_bytes())
    return closed
