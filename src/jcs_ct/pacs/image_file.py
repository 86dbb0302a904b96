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
from jcs_ct.study.quiet import quiet_libraries

_WANTED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_LAST = Tag("SeriesInstanceUID")
_INFLATED = 16 * 1024**2
"""Bytes of a deflated data set that are looked at; the rest may be anything, and is the reader's business."""
_SHOWN = ("PatientName", "StudyDate", "StudyDescription")


@dataclass(frozen=True)
class ImageFile:
    """A file with the UIDs that place it."""

    path: Path
    sop_class: str
    sop_uid: str
    study_uid: str
    name: str
    """What a worklist calls its study; it names the patient, and goes into no log."""


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
    except Exception as error:  # pydicom raises nearly anything on damaged files, and may quote what it found
        raise UnreadableFileError(f"the header cannot be read ({type(error).__name__}); expected a CT image") from error
    missing = [keyword for keyword, uid in uids.items() if not uid]
    if missing:
        raise UnreadableFileError(f"the header has no {missing[0]}, which every image must have: export it again")
    name = ", ".join(" ".join(text.replace("^", " ").split()) for text in shown if text.strip("^ "))
    return ImageFile(path, uids["SOPClassUID"], uids["SOPInstanceUID"], uids["StudyInstanceUID"], name or "CT study")


def _start_of(path: Path) -> Dataset:
    """The header as far as the last UID that is wanted: functional groups of many frames come after it."""
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in (*_WANTED, *_SHOWN)]
    with path.open("rb") as stream:
        read_preamble(stream, force=False)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(_INFLATED), _INFLATED)
            return read_dataset(BytesIO(inflated), False, True, stop_when=_is_past, specific_tags=tags)
        stream.seek(0)
        return read_partial(stream, stop_when=_is_past, specific_tags=tags)


def _is_past(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return int(tag) > int(_LAST)
