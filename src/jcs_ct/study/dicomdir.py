"""The directory of a DICOM disc (PS3.3 F, PS3.10 8): a list of files, which are looked for, not trusted.

What a disc holds is found by looking at its files. The directory only tells whether some are missing, and no path in it
is ever opened.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydicom import dcmread
from pydicom.uid import MediaStorageDirectoryStorage

from jcs_ct.study.dicom_frames import refuse_bomb

_NAME = "DICOMDIR"
_MAX_BYTES = 64 * 1024**2
"""A directory spends about 1 KiB on an image."""
_MAX_DIRECTORIES = 10


def is_dicomdir(path: Path) -> bool:
    """Whether a DICOM file is the directory of a disc, told from its file meta information."""
    try:
        return str(refuse_bomb(path).get("MediaStorageSOPClassUID", "")) == MediaStorageDirectoryStorage
    except Exception:  # damaged: the reader of images says how
        return False


def missing_files(dicom: list[Path]) -> list[str]:
    """Files that a directory among `dicom` lists and that are not there, as it calls them."""
    missing: list[str] = []
    directories = [path for path in dicom if path.name.upper() == _NAME and path.stat().st_size <= _MAX_BYTES]
    for path in directories[:_MAX_DIRECTORIES]:
        try:
            there = {str(other.relative_to(path.parent)).upper() for other in dicom if path.parent in other.parents}
            listed = _listed(path)
        except Exception:  # pydicom raises nearly anything on damaged files; the images speak for themselves
            continue
        missing += [name for name in listed if name.upper() not in there]
    return missing


def _listed(path: Path) -> list[str]:
    refuse_bomb(path)
    records = dcmread(path).get("DirectoryRecordSequence") or []
    parts = [record.get("ReferencedFileID") for record in records if record.get("DirectoryRecordType") == "IMAGE"]
    return [str(PurePosixPath(*([part] if isinstance(part, str) else part))) for part in parts if part]
