"""Results as files: which there are, and all of them as one archive."""

from __future__ import annotations

import io
import json
import mimetypes
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jcs_ct.jobs import revisions
from jcs_ct.jobs.job import Job
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.reports.result_versions import upgraded
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.schemas import ResultFile

_CHUNK = 1024**2
_MEDIA_TYPES = {".dcm": "application/dicom", ".gz": "application/gzip", ".json": "application/json"}
_STORED = (".gz", ".png", ".pdf")
"""Compressed already."""


def reports_of(queue: JobQueue, job: Job, revision: int | None) -> tuple[int, Path]:
    """The number of a revision, the latest if None, and its folder.

    Raises:
        RefusedError: The job has no result, or no such revision.
    """
    if not job.state.has_result:
        raise RefusedError(HTTPStatus.CONFLICT, f"the study is {job.state.value}; expected one that has a result")
    history = revisions.revisions(queue, job.id)
    number = history[-1].number if revision is None else revision
    if number > history[-1].number:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"the result has no revision {revision}")
    return number, revisions.reports_of(queue, job.id, number)


def files(reports: Path) -> list[ResultFile]:
    """The files of a result, by name."""
    paths = sorted(path for path in reports.rglob("*") if path.is_file() and not path.is_symlink())
    return [
        ResultFile(name=path.relative_to(reports).as_posix(), size=path.stat().st_size, media_type=media_type(path))
        for path in paths
    ]


def file(reports: Path, name: str) -> Path:
    """The path of a file of a result.

    Raises:
        RefusedError: There is none of this name. Only listed names lead to files, so none leads out of the folder.
    """
    if name not in {each.name for each in files(reports)}:
        raise RefusedError(HTTPStatus.NOT_FOUND, "the result has no such file: see the list of its files")
    return reports / name


def document(reports: Path) -> dict[str, Any]:
    """`result.json` in its present version, whichever version wrote it.

    Raises:
        RefusedError: The result holds none.
    """
    return upgraded(json.loads(file(reports, "result.json").read_text(encoding="utf-8")))


def media_type(path: Path) -> str:
    """Of a file of a result."""
    return _MEDIA_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def archive(reports: Path) -> Iterator[bytes]:
    """All files of a result as a zip archive, piece by piece: it is never in memory as a whole."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as opened:
        for each in files(reports):
            stored = each.name.endswith(_STORED)
            info = zipfile.ZipInfo.from_file(reports / each.name, each.name)
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with (reports / each.name).open("rb") as source, opened.open(info, "w") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What a zip archive is written to; it cannot go back, and what is taken is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since."""
        taken, self._written = bytes(self._written), bytearray()
        return taken
