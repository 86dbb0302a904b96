"""Studies that arrive as multipart/form-data: written to the disk as they come, whatever their size.

The parsers at hand keep small files in memory, and a study is a thousand of those. Here memory holds one chunk of each
upload.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import anyio
from anyio.to_thread import run_sync
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jcs_ct.service.problems import RefusedError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_CHUNK = 1024**2
"""Bytes that are gathered before they are written, in a thread."""
_FIELD_BYTES = 4096
_FIELDS = 64
_NAME_BYTES = 255
"""Of a part of a file's path: what file systems take."""
_PATH_BYTES = 1024
_DEPTH = 16


class Received:
    """What a form brought.

    Args:
        folder: An empty one, for the files.
        max_files: More are refused.
        max_bytes: More are refused, of files and fields together.
    """

    def __init__(self, folder: Path, max_files: int, max_bytes: int) -> None:
        self.fields: dict[str, list[str]] = {}
        self.names: list[PurePosixPath] = []
        """Of the files, relative to the folder."""
        self.folder = folder
        self.size = 0
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._taken: set[PurePosixPath] = set()
        self._times: dict[PurePosixPath, int] = {}
        """How often each name was sent."""

    def add_file(self, sent: str) -> Path:
        """Make room for a file.

        Raises:
            RefusedError: One more is too many, or its name leads elsewhere.
        """
        if len(self.names) >= self._max_files:
            raise _too_large(f"more than {self._max_files} files; expected those of one study")
        name = safe_name(sent)
        times = self._times[name] = self._times.get(name, 0) + 1
        # Files of one name, from several folders that were not told.
        free = name if times == 1 else PurePosixPath(f"again-{times}") / name
        if free in self._taken:  # somebody sends names that look like ours
            raise _unprocessable("two files of one name; expected the files of one folder")
        # A file where a folder is to be, or the other way round, cannot come from one disk.
        if self._taken & set(free.parents) or (self.folder / free).exists():
            raise _unprocessable("a file and a folder of one name; expected the files of one folder")
        self._taken.add(free)
        self.names.append(free)
        path = self.folder / free
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def count(self, size: int) -> None:
        """Take note of bytes.

        Raises:
            RefusedError: They are too many.
        """
        self.size += size
        if self.size > self._max_bytes:
            raise _too_large(f"more than {self._max_bytes} bytes; expected one study")

    @property
    def study(self) -> Path:
        """The file, where there is one only, or the folder."""
        return self.folder / self.names[0] if len(self.names) == 1 else self.folder

    @property
    def name(self) -> str:
        """What to call it on a screen."""
        if len(self.names) == 1:
            return self.names[0].name
        tops = {name.parts[0] for name in self.names if len(name.parts) > 1}
        whole = len(tops) == 1 and all(len(name.parts) > 1 for name in self.names)
        return tops.pop() if whole else f"{len(self.names)} files"


def safe_name(sent: str) -> PurePosixPath:
    """The path below a folder that a client gave a file.

    Raises:
        RefusedError: It leads out of the folder, or no file can be called so.
    """
    path = PurePosixPath(sent)
    parts = path.parts
    leads_out = path.is_absolute() or ".." in parts or "\\" in sent or not parts or ":" in parts[0]
    if leads_out or not sent.isprintable():
        raise _unprocessable("a file's name leads out of its folder, or cannot be printed; expected relative names")
    try:
        long = len(sent.encode()) > _PATH_BYTES or max(len(part.encode()) for part in parts) > _NAME_BYTES
    except UnicodeEncodeError as error:
        raise _unprocessable("a file's name is not text; expected UTF-8") from error
    if long or len(parts) > _DEPTH:
        raise _unprocessable(f"a file's name is too long; expected at most {_NAME_BYTES} bytes for each of its parts")
    return path


@contextmanager
def place(root: Path) -> Iterator[Path]:
    """A folder for what arrives, gone afterwards."""
    folder = root / uuid.uuid4().hex
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def with_patience(
    stream: AsyncIterator[bytes], idle_s: float, least_bytes_per_s: float = 0.0
) -> AsyncIterator[bytes]:
    """What is sent, for as long as something is, and at a pace that comes to an end.

    Args:
        stream: What is sent.
        idle_s: How long it may pause, and how far it may fall behind its pace.
        least_bytes_per_s: Its pace on the whole.

    Raises:
        RefusedError: Nothing came for too long, or too little.
    """
    iterator, size, began = aiter(stream), 0, time.monotonic()
    while True:
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(iterator)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"nothing was sent for {idle_s:g} s") from error
        size += len(chunk)
        if size < least_bytes_per_s * (time.monotonic() - began - idle_s):
            raise RefusedError(
                HTTPStatus.REQUEST_TIMEOUT, f"the body comes slowly; expected {least_bytes_per_s:g} bytes a second"
            )
        yield chunk


async def receive(content_type: str, stream: AsyncIterator[bytes], received: Received) -> None:
    """Take a form in.

    Raises:
        RefusedError: It is not one, or too large.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected multipart/form-data")
    form = _Form(received)
    # With a turn of its own, so that uploads never keep requests of others waiting for a thread.
    limiter = anyio.CapacityLimiter(1)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        gathered = bytearray()
        async for chunk in stream:
            received.count(len(chunk))
            gathered += chunk
            if len(gathered) >= _CHUNK:
                data, gathered = bytes(gathered), bytearray()
                await run_sync(parser.write, data, limiter=limiter)
        await run_sync(parser.write, bytes(gathered), limiter=limiter)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError) as error:
        raise _bad_form() from error
    finally:
        form.close()
    if not form.ended:
        raise _bad_form()


class _Form:
    """What the parser tells, put into its place."""

    def __init__(self, received: Received) -> None:
        self.ended = False
        self._received = received
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._field = ""
        self._text = b""
        self._field_count = 0

    def callbacks(self) -> MultipartCallbacks:
        """For the parser."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _part_begin(self) -> None:
        self._headers, self._file, self._text = {}, None, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise _bad_form()
        self._field = options[b"name"].decode()
        if b"filename" in options:
            self._file = self._received.add_file(options[b"filename"].decode()).open("xb")
            return
        self._field_count += 1
        if self._field_count > _FIELDS:
            raise _too_large(f"more than {_FIELDS} fields")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _FIELD_BYTES:
            raise _too_large(f"a field of more than {_FIELD_BYTES} bytes")

    def _part_end(self) -> None:
        if self._file is not None:
            self._file.close()
        else:
            self._received.fields.setdefault(self._field, []).append(self._text.decode())

    def _end(self) -> None:
        self.ended = True


def _bad_form() -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, "the form is damaged or cut off; expected multipart/form-data in UTF-8")


def _unprocessable(detail: str) -> RefusedError:
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _too_large(found: str) -> RefusedError:
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the upload holds {found}")
