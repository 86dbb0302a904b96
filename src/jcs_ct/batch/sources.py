"""Reads a study of a batch, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from jcs_ct.batch.dicom_tree import group_by_study
from jcs_ct.batch.items import Item
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.errors import InputError
from jcs_ct.study.archive import unpack
from jcs_ct.study.dicom import read_dicom
from jcs_ct.study.files import FileKind, Names, list_folder
from jcs_ct.study.quiet import quiet_libraries
from jcs_ct.study.reader import read_study
from jcs_ct.study.volume import Study


def read_item(item: Item, settings: WorkSettings) -> Study:
    """Read a study.

    Raises:
        InputError, UsageError: as `read_study`.
        PeerError: the DICOMweb service that holds it does not give it.
    """
    if "://" in item.path:
        # Here and not at the top: it is of an extra.
        from jcs_ct.batch.dicomweb import fetch_study

        with TemporaryDirectory(prefix="jcs-") as folder:
            fetch_study(item, Path(folder), settings.config)
            return read_study(folder, item.series_uid)
    if item.study_uid is None:
        return read_study(item.path, item.series_uid)
    root = Path(item.path)
    if root.is_file():
        return _read_of_archive(root, item)
    files = [Path(name) for name in item.files] or _files_of(root, item.study_uid)
    with quiet_libraries():
        return read_dicom(files, Names(root), item.series_uid)


def _read_of_archive(archive: Path, item: Item) -> Study:
    """One study of an archive that holds several."""
    with TemporaryDirectory(prefix="jcs-") as folder, quiet_libraries():
        entries = unpack(archive, Path(folder))
        files = [path for name, path in entries if name in item.files]
        return read_dicom(files or _files_of(Path(folder), item.study_uid or ""), Names(Path(folder)), item.series_uid)


def _files_of(root: Path, study_uid: str) -> list[Path]:
    """The DICOM files of one study among those below a folder, which may hold any number of files."""
    found = list_folder(root).files[FileKind.DICOM]
    studies = [study for study in group_by_study(found, root)[0] if study.key.study_uid == study_uid]
    if not studies:
        raise InputError(f"{root} holds no study {study_uid}; expected its DICOM files: check the table")
    if len(studies) > 1:
        raise InputError(
            f"{root} holds the study {study_uid} of {len(studies)} patients; expected one: give a folder for each"
        )
    return studies[0].files
