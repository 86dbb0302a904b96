"""What a file is, told by its content: names and extensions of medical images are too often wrong or missing."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from jcs_ct.errors import InputError, UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import printable
from jcs_ct.study.limits import MAX_FILES
from jcs_ct.study.own_results import is_own, is_result


class FileKind(StrEnum):
    """What the first bytes of a file say that it is."""

    DICOM = "DICOM"
    NIFTI = "NIfTI"
    IMAGE = "image"
    ZIP = "zip archive"
    GZIP = "gzip-compressed DICOM file"
    UNKNOWN = "unknown"


_HEAD_BYTES = 1024
_NIFTI1_MAGIC = (b"n+1\0", b"ni1\0")  # at byte 344 of a NIfTI-1 header
_NIFTI2_MAGIC = (b"n+2\0", b"ni2\0")  # at byte 4 of a NIfTI-2 header
_IMAGE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
# A data set without the 128-byte preamble starts with an element of group 0002 or 0008 (PS3.5 7.1).
_BARE_DICOM = tuple(bytes([group, 0, element, 0]) for group in (2, 8) for element in (0, 1, 5, 8, 0x16))
_OTHER_FORMATS = (
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"\x1f\x8b", "a gzip archive of another format (tar.gz, say)"),
    (0, b"NRRD", "an NRRD volume"),
    (0, b"ObjectType", "a MetaImage volume (.mha, .mhd)"),
    (0, b"%PDF", "a PDF document"),
)
"""Formats that are not read, and are named so that nobody takes the file for a damaged one: offset, magic, words."""
_PROMISING_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".ima", ".nii", ".gz", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".zip"}
)


@dataclass(frozen=True)
class Folder:
    """The files below a folder by kind, in a stable order; hidden ones are left out."""

    files: dict[FileKind, list[Path]] = field(default_factory=dict)
    broken: list[Path] = field(default_factory=list)
    """Files whose name promises an image, but whose content is of no known kind."""
    skipped: list[Path] = field(default_factory=list)
    """Other files of no known kind: licences, notes, directories of the disc."""


@dataclass(frozen=True)
class Names:
    """What to call the files of an input."""

    folder: Path
    """Names are relative to it."""
    unpacked: Path | None = None
    """Folder of what archives in `folder` hold; names of these are relative to it."""

    def place(self, path: Path) -> Path:
        """Where a file lies in the input; what an archive in it holds lies below the archive."""
        inside = self.unpacked is not None and path.is_relative_to(self.unpacked)
        base = self.unpacked if inside and self.unpacked is not None else self.folder
        return path.relative_to(base)

    def of(self, path: Path) -> str:
        """The name of a file, printable whatever it holds."""
        return printable(self.place(path).as_posix())


def kind_of(path: Path) -> FileKind:
    """Tell what `path` is from its first bytes.

    Raises:
        UnreadableFileError: The file cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        reason = f"{printable(path.name)} cannot be opened ({error.strerror}): check that it may be read"
        raise UnreadableFileError(reason) from error
    return _kind_of_bytes(head)


def other_format(path: Path) -> str | None:
    """What a file is that is of no kind that is read, in words; None if that is not known either."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return None
    return next((words for place, magic, words in _OTHER_FORMATS if head[place:].startswith(magic)), None)


def _kind_of_bytes(head: bytes) -> FileKind:
    # DICOM comes first: its preamble may hold the magic number of another format (TIFF, mostly; PS3.10 7.1).
    if head[128:132] == b"DICM":
        return FileKind.DICOM
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return FileKind.ZIP
    if _is_nifti(head) or (head[:2] == b"\x1f\x8b" and _is_nifti(_gunzip_start(head))):
        return FileKind.NIFTI
    if head[:2] == b"\x1f\x8b" and _gunzip_start(head)[128:132] == b"DICM":
        return FileKind.GZIP
    if head.startswith(_IMAGE_MAGIC):
        return FileKind.IMAGE
    if head[:4] in _BARE_DICOM:
        return FileKind.DICOM
    return FileKind.UNKNOWN


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in _NIFTI1_MAGIC or head[4:8] in _NIFTI2_MAGIC


def _gunzip_start(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def open_maybe_gzip(path: Path) -> gzip.GzipFile | None:
    """A stream of the decompressed content if `path` is gzip-compressed, else None."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else None


def list_folder(root: Path) -> Folder:
    """Sort the files below `root` by kind.

    Raises:
        InputError: The folder cannot be listed.
        UnsupportedInputError: It holds too many files, or a link that leads out of it.
    """
    folder = Folder({kind: [] for kind in FileKind})
    for path in _visible_files(root):
        try:
            kind = kind_of(path)
        except UnreadableFileError:
            folder.broken.append(path)
            continue
        if kind is FileKind.UNKNOWN:
            promising = path.suffix.lower() in _PROMISING_SUFFIXES
            (folder.broken if promising else folder.skipped).append(path)
        else:
            folder.files[kind].append(path)
    return folder


def _visible_files(root: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        reason = f"the folder {printable(str(root))} cannot be listed ({error.strerror}): check that it may be read"
        raise InputError(reason) from error

    found: list[Path] = []
    for folder, subfolders, names in os.walk(root, onerror=refuse):
        # __MACOSX holds what the archiver of macOS keeps about each file, under the same name.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name != "__MACOSX")
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > MAX_FILES:
            raise UnsupportedInputError(
                f"the folder {printable(str(root))} holds more than {MAX_FILES} files; expected one study: give the "
                "folder of a study"
            )
    results = frozenset(path.parent for path in found if path.name == "result.json" and is_result(path))
    return [path for path in found if path.is_file() and not is_own(path, results) and not _leads_out(path, root)]


def _leads_out(path: Path, root: Path) -> bool:
    """Whether a file is a link out of the folder. Such a link is refused, as what was sent is then not what is read."""
    if not path.is_symlink() or path.resolve().is_relative_to(root.resolve()):
        return False
    raise UnsupportedInputError(
        f"{printable(path.relative_to(root).as_posix())} is a symbolic link out of the folder {printable(str(root))}; "
        "expected files: "
        "copy them there, or give the folder that the link leads to"
    )


def listing(names: list[str], limit: int = 3) -> str:
    """Name a few of many: "a, b, c and 4 more"."""
    shown = ", ".join(map(printable, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def one_line(error: BaseException) -> str:
    """The message of a library's exception, fit for one line."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
