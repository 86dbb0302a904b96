"""Uploads that go on where they were cut off: tus 1.0 (https://tus.io/protocols/resumable-upload), on the disk.

    uploads/resumable/ID/data        what has arrived
    uploads/resumable/ID/about.json  what was said of it at its beginning, and the job that it became

They outlast a restart of the service. A complete one is handed to the queue under its id as the key, so that a kill at
any moment neither loses it nor makes two jobs of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from jcs_ct.jobs.intake import known_suffix
from jcs_ct.service.problems import RefusedError
from jcs_ct.service.settings import ServiceSettings

_CHUNK = 1024**2
_SWEEP_S = 600.0
_PATIENCE_S = 10.0
"""With an earlier request for the same upload."""


@dataclass(frozen=True)
class About:
    """What is known of an upload."""

    id: str
    owner: str
    length: int
    name: str
    series_uid: str
    begun_at: float
    job_id: str | None = None


@dataclass(frozen=True)
class Upload:
    """An upload as it was when it was looked at."""

    about: About
    offset: int
    expires_at: float

    @property
    def complete(self) -> bool:
        """Whether all has arrived."""
        return self.offset == self.about.length


class ResumableUploads:
    """The uploads of all users.

    Args:
        root: Their folder.
        settings: Of the service.
    """

    def __init__(self, root: Path, settings: ServiceSettings) -> None:
        self._root = root
        self._settings = settings
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unchanged: dict[str, tuple[int, float]] = {}
        """Size of each upload when it was looked at, and since when it has been that."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def begin(self, owner: str, length: int, name: str, series_uid: str) -> Upload:
        """Make room.

        Raises:
            RefusedError: It is too large, there are too many, or the disk is nearly full.
        """
        if length > self._settings.max_upload_bytes:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the upload has {length} bytes, expected at most {self._settings.max_upload_bytes}",
            )
        # Complete ones count, too, as long as the queue has not taken them.
        if len(self._open_of(owner)) >= self._settings.max_open_uploads:
            raise RefusedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._settings.max_open_uploads} uploads have begun and are no studies yet: finish or delete some",
                {"Retry-After": "60"},
            )
        about = About(uuid.uuid4().hex, owner, length, name, series_uid, time.time())
        folder = self._root / about.id
        folder.mkdir(mode=0o700)
        _data(folder, about).touch()  # first: without it, all would have arrived
        self._note(about)
        return self.find(about.id, owner)

    def find(self, upload_id: str, owner: str) -> Upload:
        """An upload.

        Raises:
            RefusedError: There is none of this owner, or not any more.
        """
        found = self._read(self._root / upload_id)
        if found is None or found.about.owner != owner:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such upload; it may have expired: begin anew")
        return found

    def bytes_of(self, owner: str) -> int:
        """Bytes of an owner that have arrived and are no study yet."""
        return sum(each.offset for each in self._open_of(owner))

    def missing_of(self, owner: str) -> int:
        """Bytes that an owner has announced and not sent."""
        return sum(each.about.length - each.offset for each in self._open_of(owner))

    def _open_of(self, owner: str) -> list[Upload]:
        return [each for each in self._all() if each.about.owner == owner and each.about.job_id is None]

    def data(self, upload: Upload) -> Path:
        """What has arrived."""
        return _data(self._root / upload.about.id, upload.about)

    async def append(self, upload: Upload, offset: int, sent: AsyncIterator[bytes]) -> Upload:
        """Add what is sent; what has arrived stays, also where it is cut off.

        Raises:
            RefusedError: It does not go on where the upload ends, is too much, or another request is at it.
        """
        turn = self._turns.setdefault(upload.about.id, asyncio.Lock())
        try:
            # A connection that was cut off may not have been noticed as such.
            async with asyncio.timeout(_PATIENCE_S):
                await turn.acquire()
        except TimeoutError as error:
            raise RefusedError(
                HTTPStatus.LOCKED, "another request sends to this upload: wait for its end", {"Retry-After": "10"}
            ) from error
        try:
            upload = await run_sync(self.find, upload.about.id, upload.about.owner)
            if offset != upload.offset:
                raise RefusedError(
                    HTTPStatus.CONFLICT, f"Upload-Offset: found {offset}, expected {upload.offset} (see HEAD)"
                )
            await self._write(upload, sent)
        finally:
            turn.release()
        return await run_sync(self.find, upload.about.id, upload.about.owner)

    async def _write(self, upload: Upload, sent: AsyncIterator[bytes]) -> None:
        left, gathered = upload.about.length - upload.offset, bytearray()
        if not left:
            return  # its data may have gone to the queue
        with self.data(upload).open("ab") as stream:
            try:
                async for chunk in sent:
                    left -= len(chunk)
                    if left < 0:
                        raise RefusedError(
                            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "more was sent than Upload-Length stated"
                        )
                    gathered += chunk
                    if len(gathered) >= _CHUNK:
                        data, gathered = bytes(gathered), bytearray()
                        await run_sync(stream.write, data)
            finally:
                # Also where the client went away: it will ask how much has arrived.
                with anyio.CancelScope(shield=True):
                    await run_sync(_finish, stream, bytes(gathered))

    def became(self, upload: Upload, job_id: str) -> Upload:
        """Remember the job that it became."""
        about = replace(upload.about, job_id=job_id)
        self._note(about)
        return replace(upload, about=about)

    def remove(self, upload: Upload) -> None:
        """Forget an upload."""
        shutil.rmtree(self._root / upload.about.id, ignore_errors=True)

    async def sweeping(self) -> None:
        """Remove what has expired, until cancelled."""
        while True:
            await run_sync(self._sweep)
            await asyncio.sleep(min(_SWEEP_S, self._settings.upload_age_s))

    def _sweep(self) -> None:
        """Remove what was not added to for too long; it counts while we look, as the computer's clock may jump."""
        now, seen = time.monotonic(), {}
        for folder in self._root.iterdir():
            upload = self._read(folder)
            if upload is None:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            offset, since = self._unchanged.get(upload.about.id, (-1, now))
            since = since if offset == upload.offset else now
            if now - since > self._settings.upload_age_s and upload.about.id not in self._turns:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                seen[upload.about.id] = upload.offset, since
        self._unchanged = seen

    def _all(self) -> list[Upload]:
        return [upload for folder in self._root.iterdir() if (upload := self._read(folder)) is not None]

    def _read(self, folder: Path) -> Upload | None:
        try:
            about = About(**json.loads((folder / "about.json").read_text(encoding="utf-8")))
            seen, offset = (folder / "about.json").stat().st_mtime, about.length
            with contextlib.suppress(FileNotFoundError):  # it is the queue's by now
                state = _data(folder, about).stat()
                seen, offset = state.st_mtime, state.st_size
        except (OSError, ValueError, TypeError):
            return None
        return Upload(about, offset, seen + self._settings.upload_age_s)

    def _note(self, about: About) -> None:
        path = self._root / about.id / "about.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(about)), encoding="utf-8")
        partial.replace(path)


def _data(folder: Path, about: About) -> Path:
    return folder / f"data{known_suffix(about.name)}"


def _finish(stream: BinaryIO, rest: bytes) -> None:
    stream.write(rest)
    stream.flush()
    os.fsync(stream.fileno())
