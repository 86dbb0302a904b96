"""Finds out what an input is, and has it read: the one way from files to a Study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from jcs_ct.errors import InputError, UnreadableFileError, UnsupportedInputError
from jcs_ct.study.archive import unpack
from jcs_ct.study.dicom import read_dicom
from jcs_ct.study.files import FileKind, Folder, kind_of, list_folder, listing
from jcs_ct.study.images import read_images
from jcs_ct.study.nifti import read_nifti
from jcs_ct.study.quiet import quiet_libraries
from jcs_ct.study.volume import Study

_ACCEPTED = "a DICOM series, a NIfTI volume (.nii, .nii.gz) or PNG/JPEG/BMP/TIFF slices"


def read_study(path: str | Path) -> Study:
    """Read one CT study from a file, a folder or a zip archive; the content decides what it is, not the name.

    A folder may hold a DICOM series at any depth, one NIfTI file, or pictures. A study that was read but must not be
    judged is returned all the same, with the reasons in `objections`.

    Args:
        path: A folder, a zip archive, or a single DICOM, NIfTI or picture file.

    Returns:
        The study in canonical form, with what the reader noticed in `remarks`.

    Raises:
        InputError: There is no such file or folder, or nothing in it is a study.
        UnreadableFileError: A file that is needed is damaged or truncated.
        UnsupportedInputError: The input was read, but JCS does not take what it holds.

    Example:
        >>> study = read_study("scan.nii.gz")  # doctest: +SKIP
        >>> study.voxels.shape, study.intensity  # doctest: +SKIP
        ((301, 512, 512), <IntensityKind.HU: 'HU'>)
    """
    path = Path(path)
    if not (path.is_dir() or path.is_file()):
        what = "is neither a file nor a folder" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}; expected {_ACCEPTED}: check the path")
    with quiet_libraries():
        if path.is_dir():
            return _read_folder(path, str(path))
        kind = kind_of(path)
        if kind is FileKind.ZIP:
            return _read_archive(path)
        return _read_file(path, kind)


def _read_file(path: Path, kind: FileKind) -> Study:
    if kind is FileKind.DICOM:
        return read_dicom([path], path.parent)
    if kind is FileKind.NIFTI:
        return read_nifti(path, path.name)
    if kind is FileKind.IMAGE:
        return read_images([path], path.parent)
    what = "is empty" if path.stat().st_size == 0 else "is of an unknown kind, or damaged at its start"
    raise UnreadableFileError(f"{path.name} {what}; expected {_ACCEPTED}: check the file")


def _read_archive(path: Path) -> Study:
    with TemporaryDirectory(prefix="jcs-") as target:
        unpack(path, Path(target))
        return _read_folder(Path(target), path.name)


def _read_folder(root: Path, called: str) -> Study:
    folder = list_folder(root)
    study = _read_best(folder, root, called)
    skipped = [file.relative_to(root).as_posix() for file in folder.broken]
    if skipped:
        remark = f"{len(skipped)} files are damaged or not what their names say, and are left out: {listing(skipped)}"
        study = replace(study, remarks=(remark, *study.remarks))
    return study


def _read_best(folder: Folder, root: Path, called: str) -> Study:
    """Read what a folder holds: DICOM before NIfTI before pictures, which often lie beside the former as previews."""
    dicom, nifti, images = (folder.files[kind] for kind in (FileKind.DICOM, FileKind.NIFTI, FileKind.IMAGE))
    readable = max(len(dicom), len(nifti), len(images))
    if readable and len(folder.broken) > readable:
        name = folder.broken[0].relative_to(root).as_posix()
        raise UnreadableFileError(
            f"{called}: {len(folder.broken)} of {readable + len(folder.broken)} files are damaged, first {name}; "
            "copy or export the study again"
        )
    if dicom:
        return read_dicom(dicom, root)
    if len(nifti) > 1:
        names = [file.relative_to(root).as_posix() for file in nifti]
        raise UnsupportedInputError(f"{called} holds {len(nifti)} NIfTI files ({listing(names)}): give one of them")
    if nifti:
        return read_nifti(nifti[0], nifti[0].relative_to(root).as_posix())
    if images:
        return read_images(images, root)
    raise _nothing(folder, called)


def _nothing(folder: Folder, called: str) -> InputError:
    if folder.broken:
        names = [file.name for file in folder.broken]
        return UnreadableFileError(
            f"{called} holds only damaged files, or files that are not what their names say ({listing(names)}); "
            f"expected {_ACCEPTED}: copy or export the study again"
        )
    others = [file.name for file in folder.skipped + folder.files[FileKind.ZIP]]
    what = f"only files of other kinds ({listing(others)})" if others else "no files"
    return InputError(f"{called} holds {what}; expected {_ACCEPTED}: check the path")
