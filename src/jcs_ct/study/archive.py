"""Unpacks a zip archive without trusting it: no way out of the folder, no links, no bombs."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import printable
from jcs_ct.study.files import one_line
from jcs_ct.study.limits import MAX_FILE_BYTES, MAX_FILES, MAX_RATIO, RATIO_MATTERS_ABOVE

MAX_UNPACKED_BYTES = 4 * 1024**3
"""A chest CT of 1,000 slices is half a GiB."""
MAX_ENTRIES = MAX_FILES


_LONGEST_NAME = 200
"""Bytes of one part of a path; file systems allow 255."""
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 97: "WavPack", 98: "PPMd"}
"""Names of compression methods (APPNOTE 4.4.5)."""
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def unpack(archive: Path, target: Path) -> list[tuple[str, Path]]:
    """Unpack `archive` into the existing, empty folder `target`.

    Old Windows tools part folders by backslashes; these are read as slashes. Of several entries of one name, each is
    kept, and names that are too long for a file system are shortened.

    Returns:
        The names of the entries, and where each of them lies now.

    Raises:
        UnreadableFileError: The archive is damaged.
        UnsupportedInputError: The archive is encrypted, or it is built so that unpacking it would be unsafe.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not _path_of(member)[1]]
            _refuse_unsafe(archive, members)
            return [(member.filename, _unpack_member(opened, member, target)) for member in members]
    except UnsupportedInputError:
        raise
    except Exception as error:  # zipfile, zlib and the file system raise nearly anything on damaged archives
        raise UnreadableFileError(
            f"the zip archive {printable(archive.name)} is damaged ({one_line(error)}): copy or download it again"
        ) from error


def unpack_gzip(packed: Path, target: Path) -> None:
    """Unpack one gzip-compressed file into the new file `target`.

    Raises:
        UnreadableFileError: The file is damaged.
        UnsupportedInputError: It unfolds as no image does.
    """
    allowed = min(MAX_FILE_BYTES, max(RATIO_MATTERS_ABOVE, MAX_RATIO * packed.stat().st_size))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with gzip.open(packed) as source, target.open("wb") as copy:
            while piece := source.read(1024**2):
                allowed -= len(piece)
                if allowed < 0:
                    raise UnsupportedInputError(
                        f"{printable(packed.name)} unfolds to more than {MAX_RATIO} times its size or "
                        f"{MAX_FILE_BYTES // 1024**3} GiB: it is damaged, or made to exhaust memory"
                    )
                copy.write(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(
            f"{printable(packed.name)} is a damaged gzip file ({one_line(error)}): copy it again"
        ) from error


def _path_of(member: zipfile.ZipInfo) -> tuple[PurePosixPath, bool]:
    """Where an entry says that it lies, and whether it is a folder."""
    name = member.filename.replace("\\", "/")
    return PurePosixPath(name), name.endswith("/")


def _refuse_unsafe(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        path, _ = _path_of(member)
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise _unsafe(archive, f"entry {member.filename!r} points outside of the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _unsafe(archive, f"entry {member.filename!r} is a symbolic link")
        if member.flag_bits & 1:
            raise UnsupportedInputError(
                f"the zip archive {printable(archive.name)} is encrypted: unpack it and give the folder instead"
            )
        if member.compress_type not in _READ_METHODS:
            method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
            raise UnsupportedInputError(
                f"the zip archive {printable(archive.name)} is compressed with {method}, expected Deflate; it is not "
                "damaged: unpack it and give the folder instead"
            )
    if len(members) > MAX_ENTRIES:
        raise _unsafe(archive, f"it holds {len(members)} files, expected at most {MAX_ENTRIES}")
    unpacked = sum(member.file_size for member in members)
    # Of the archive, and not of its entries: entries that overlap would count the same bytes many times.
    packed = max(1, archive.stat().st_size)
    if unpacked > MAX_UNPACKED_BYTES:
        raise _unsafe(archive, f"it would unpack to {unpacked / 1024**3:.1f} GiB, expected at most 4 GiB")
    if unpacked > RATIO_MATTERS_ABOVE and unpacked > MAX_RATIO * packed:
        raise _unsafe(archive, f"it would unpack to {unpacked // packed} times its size, expected at most {MAX_RATIO}")


def _unsafe(archive: Path, reason: str) -> UnsupportedInputError:
    return UnsupportedInputError(
        f"the zip archive {printable(archive.name)} is refused: {reason}. If you trust it, unpack it and give the "
        "folder instead"
    )


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> Path:
    # zipfile reads no more than the stated size of a member and checks its CRC, so the sum that was checked bounds what
    # is written.
    path = target.joinpath(*map(_short, _path_of(member)[0].parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    number, first = 1, path
    while path.is_file():  # an archive may hold several files of one name
        number += 1
        path = first.with_name(f"{first.stem}~{number}{first.suffix}")
    with opened.open(member) as source, path.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1024**2)
    return path


def _short(part: str) -> str:
    """A part of a path that every file system takes; the end of the name stays, for its extension."""
    encoded = part.encode("utf-8", "surrogateescape")
    if len(encoded) <= _LONGEST_NAME:
        return part
    return f"{part[:40]}~{hashlib.sha256(encoded).hexdigest()[:8]}~{part[-20:]}"
