"""What the node needs to know of a file that has arrived, told by its header."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from jcs_ct.errors import UnreadableFileError
from jcs_ct.jobs.bounded import one_line
from jcs_ct.pacs.folders import digest
from jcs_ct.study.quiet import quiet_libraries

_WANTED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_LAST = Tag("SeriesInstanceUID")
_INFLATED = 16 * 1024**2
"""Bytes of a deflated data set that are looked at; the rest may be anything, and is the reader's business."""
_SHOWN = ("PatientName", "StudyDate", "StudyDescription")
_IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
_MOST = 4096
"""Bytes of a value that is looked at. UIDs have 64, names (PN) at most 324 characters."""
PREAMBLE = 128
"""Bytes before the file meta information."""
_SENDER = b"JCS from "
"""How the preamble of a file begins that the node has kept: PS3.10, 7.1 leaves it to whoever writes the file."""


@dataclass(frozen=True)
class ImageFile:
    """A file with the UIDs that place it."""

    path: Path
    sop_class: str
    sop_uid: str
    study_uid: str
    patient: str
    """Digest of who the file says that it is of; two files with two of them are of two patients."""
    name: str
    """What a worklist calls its study; it names the patient, and goes into no log."""


_LOOKED_AT = frozenset(Tag(keyword) for keyword in (*_WANTED, *_SHOWN, *_IDENTITY))


def read_image_file(path: Path) -> ImageFile:
    """Read the header of a file.

    Raises:
        UnreadableFileError: It is no DICOM, or does not say what study it belongs to.
    """
    try:
        with quiet_libraries():
            header = _start_of(path)
            uids = {keyword: str(header.get(keyword) or "") for keyword in _WANTED}
            shown = [str(header.get(keyword) or "") for keyword in _SHOWN]
            identity = _identity([str(header.get(keyword) or "") for keyword in _IDENTITY])
    except Exception as error:  # pydicom raises nearly anything on damaged files, and may quote what it found
        raise UnreadableFileError(f"the header cannot be read ({type(error).__name__}); expected a CT image") from error
    missing = [keyword for keyword, uid in uids.items() if not uid]
    if missing:
        raise UnreadableFileError(f"the header has no {missing[0]}, which every image must have: export it again")
    name = ", ".join(one_line(text.replace("^", " ")) for text in shown if text.strip("^ "))
    sop, study = uids["SOPInstanceUID"], uids["StudyInstanceUID"]
    return ImageFile(path, uids["SOPClassUID"], sop, study, identity, name or "CT study")


def _identity(stated: list[str]) -> str:
    """By the ID where there is one, as names are spelt in several ways; else by name and date of birth."""
    number, issuer, name, birth = (" ".join(text.replace("^", " ").split()).casefold() for text in stated)
    return digest("\n".join((number, issuer) if number else (name, birth)))


def write_sender(path: Path, ae_title: str) -> None:
    """Write into a DICOM file of ours who sent it."""
    with path.open("r+b") as stream:
        if stream.read(PREAMBLE + 4)[PREAMBLE:] != b"DICM":
            return
        stream.seek(0)
        stream.write((_SENDER + ae_title.encode("ascii", "replace")).ljust(PREAMBLE, b"\0")[:PREAMBLE])


def sender_of(path: Path) -> str:
    """AE title of who sent a file of ours; empty where it is not known.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        preamble = stream.read(PREAMBLE)
    return preamble.removeprefix(_SENDER).rstrip(b"\0").decode("ascii") if preamble.startswith(_SENDER) else ""


def _start_of(path: Path) -> Dataset:
    """The header as far as the last UID that is wanted: functional groups of many frames come after it."""
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in {*_WANTED, *_SHOWN, *_IDENTITY}]
    with path.open("rb") as stream:
        read_preamble(stream, force=False)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(_INFLATED), _INFLATED)
            return read_dataset(BytesIO(inflated), False, True, stop_when=_is_past, specific_tags=tags)
        stream.seek(0)
        return read_partial(stream, stop_when=_is_past, specific_tags=tags)


def _is_past(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr
    if tag in _LOOKED_AT and length > _MOST:
        raise ValueError("a value is longer than any of its kind")
    return int(tag) > int(_LAST)
