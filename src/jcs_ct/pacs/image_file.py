"""What the node needs to know of a file that has arrived, told by its header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from jcs_ct.errors import UnreadableFileError
from jcs_ct.study.dicom_frames import refuse_bomb
from jcs_ct.study.quiet import quiet_libraries

_WANTED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
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
        UnreadableFileError: It is no DICOM, unfolds beyond measure, or does not say what study it belongs to.
    """
    try:
        with quiet_libraries():
            refuse_bomb(path)
            header = dcmread(path, stop_before_pixels=True, specific_tags=[*_WANTED, *_SHOWN])
            uids = {keyword: str(header.get(keyword) or "") for keyword in _WANTED}
            shown = [str(header.get(keyword) or "") for keyword in _SHOWN]
    except Exception as error:  # pydicom raises nearly anything on damaged files, and may quote what it found
        raise UnreadableFileError(f"the header cannot be read ({type(error).__name__}); expected a CT image") from error
    missing = [keyword for keyword, uid in uids.items() if not uid]
    if missing:
        raise UnreadableFileError(f"the header has no {missing[0]}, which every image must have: export it again")
    name = ", ".join(" ".join(text.replace("^", " ").split()) for text in shown if text.strip("^ "))
    return ImageFile(path, uids["SOPClassUID"], uids["SOPInstanceUID"], uids["StudyInstanceUID"], name or "CT study")
