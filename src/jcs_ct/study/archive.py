"""Unpacks a zip archive without trusting it: no way out of the folder, no links, no bombs."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.study.files import one_line
from jcs_ct.study.limits import MAX_FILES, MAX_RATIO, RATIO_MATTERS_ABOVE

MAX_UNPACKED_BYTES = 4 * 1024**3
"""A chest CT of 1,000 slices is half a GiB."""
MAX_ENTRIES = MAX_FILES


def unpack(archive: Path, target: Path) -> None:
    """Unpack `archive` into the existing, empty folder `target`.

    Raises:
        UnreadableFileError: The archive is damaged.
        UnsupportedInputError: The archive is encrypted, or it is built so that unpacking it would be unsafe.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _refuse_unsafe(archive, members)
            for member in members:
                _unpack_member(opened, member, target)
    except UnsupportedInputError:
        raise
    except Exception as error:  # zipfile, zlib and the file system raise nearly anything on damaged archives
        raise UnreadableFileError(
            f"the zip archive {archive.name} is damaged ({one_line(error)}): copy or download it again"
        ) from error


def _refuse_unsafe(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
            raise _unsafe(archive, f"entry {member.filename!r} points outside of the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _unsafe(archive, f"entry {member.filename!r} is a symbolic link")
        if member.flag_bits & 1:
            raise UnsupportedInputError(
                f"the zip archive {archive.name} is encrypted: unpack it and give the folder instead"
            )
    if len(members) > MAX_ENTRIES:
        raise _unsafe(archive, f"it holds {len(members)} files, expected at most {MAX_ENTRIES}")
    unpacked = sum(member.file_size for member in members)
    packed = max(1, sum(member.compress_size for member in members))
    if unpacked > MAX_UNPACKED_BYTES:
        raise _unsafe(archive, f"it would unpack to {unpacked / 1024**3:.1f} GiB, expected at most 4 GiB")
    if unpacked > RATIO_MATTERS_ABOVE and unpacked > MAX_RATIO * packed:
        raise _unsafe(archive, f"it would unpack to {unpacked // packed} times its size, expected at most {MAX_RATIO}")


def _unsafe(archive: Path, reason: str) -> UnsupportedInputError:
    return UnsupportedInputError(
        f"the zip archive {archive.name} is refused: {reason}. If you trust it, unpack it and give the folder instead"
    )


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    # zipfile reads no more than the stated size of a member and checks its CRC, so the sum above holds.
    path = target.joinpath(*PurePosixPath(member.filename).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, path.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1024**2)
