"""Groups DICOM files by study in one pass over their headers, which are read up to the Study Instance UID."""

from __future__ import annotations

import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import MediaStorageDirectoryStorage

from jcs_ct.study.archive import MAX_ENTRIES

_LAST = Tag("StudyInstanceUID")
# Whoever wrote deflated data has to have all of it inflated; images are hardly ever stored so.
_MOST_BYTES = 2 * 1024**3
_HEAD_BYTES = 64 * 1024
"""Of an entry of an archive: what comes before the Study Instance UID is short."""


@dataclass(frozen=True)
class StudyKey:
    """What makes files one study: both, as some archives give many patients one Study Instance UID."""

    study_uid: str
    patient_id: str


@dataclass
class DicomStudy:
    """The files of one study."""

    key: StudyKey
    files: list[Path]


def group_by_study(files: Iterable[Path], top: Path) -> tuple[list[DicomStudy], list[Path]]:
    """Group the DICOM files below `top` by study.

    Files of one study may lie in several folders. Folders directly below `top` that hold the same images again are kept
    apart, though: there the UIDs of a study were given to several patients, or copies were made.

    Returns:
        The studies in the order of their first files, and the files whose headers cannot be read.
    """
    found: dict[StudyKey, dict[Path, list[tuple[Path, str]]]] = defaultdict(lambda: defaultdict(list))
    damaged: list[Path] = []
    for path in files:
        key, image = _identity(path)
        if key is None:
            damaged.append(path)
        elif image != MediaStorageDirectoryStorage:
            found[key][_branch(path, top)].append((path, image))
    studies = []
    for key, branches in found.items():
        groups = list(branches.values())
        if len(groups) == 1 or _repeats(groups):
            studies += [DicomStudy(key, [path for path, _ in group]) for group in groups]
        else:
            studies.append(DicomStudy(key, [path for group in groups for path, _ in group]))
    return studies, damaged


def studies_in_archive(archive: Path) -> dict[StudyKey, list[str]]:
    """The names of the DICOM entries of a zip archive by study; none where it cannot be looked into.

    Only the beginning of each entry is unpacked. Archives in it stay closed.
    """
    found: dict[StudyKey, list[str]] = defaultdict(list)
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in sorted(opened.infolist()[:MAX_ENTRIES], key=lambda member: member.filename):
                with opened.open(member) as stream:
                    head = stream.read(_HEAD_BYTES)
                if head[128:132] != b"DICM":
                    continue
                key, image = _identity_of(BytesIO(head))
                if key is not None and image != MediaStorageDirectoryStorage:
                    found[key].append(member.filename)
    except Exception:  # whoever reads the archive says what is wrong with it
        return {}
    return dict(found)


def common_folder(files: Iterable[Path]) -> Path:
    """The deepest folder that holds all of the files."""
    folders = [path.parent for path in files]
    common = folders[0]
    while not all(folder == common or common in folder.parents for folder in folders):
        common = common.parent
    return common


def _branch(path: Path, top: Path) -> Path:
    """The folder directly below `top` that a file lies in, or `top`."""
    parts = path.relative_to(top).parts
    return top if len(parts) == 1 else top / parts[0]


def _repeats(groups: list[list[tuple[Path, str]]]) -> bool:
    seen: set[str] = set()
    for group in groups:
        images = {image for _, image in group if image}
        if seen & images:
            return True
        seen |= images
    return False


def _identity(path: Path) -> tuple[StudyKey | None, str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None, ""
        with path.open("rb") as stream:
            return _identity_of(stream)
    except OSError:
        return None, ""


def _identity_of(stream: BinaryIO) -> tuple[StudyKey | None, str]:
    """Study, and SOP Instance UID (of the directory of a disc: its SOP class)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = read_partial(stream, stop_when=_after_study, force=True, specific_tags=_WANTED)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return StudyKey("", ""), MediaStorageDirectoryStorage
        study = str(header.get("StudyInstanceUID") or "").strip()
        if not study:
            return None, ""
        patient = str(header.get("PatientID") or "").strip()
        return StudyKey(study, patient), str(header.get("SOPInstanceUID") or "")
    except Exception:  # pydicom raises nearly anything on damaged files
        return None, ""


_WANTED: list[BaseTag | int] = [Tag("SOPClassUID"), Tag("SOPInstanceUID"), Tag("PatientID"), Tag("StudyInstanceUID")]


def _after_study(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return bool(tag > _LAST)
