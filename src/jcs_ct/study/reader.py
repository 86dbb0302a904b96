"""Finds out what an input is, and has it read: the one way from files to a Study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from jcs_ct.errors import InputError, UnreadableFileError, UnsupportedInputError, UsageError
from jcs_ct.notices import Notice, notice
from jcs_ct.study.archive import unpack
from jcs_ct.study.dicom import read_dicom, survey_dicom
from jcs_ct.study.dicomdir import is_dicomdir, missing_files
from jcs_ct.study.files import FileKind, Folder, kind_of, list_folder, listing
from jcs_ct.study.images import read_images
from jcs_ct.study.nifti import read_nifti
from jcs_ct.study.quiet import quiet_libraries
from jcs_ct.study.series_choice import SeriesSummary
from jcs_ct.study.volume import InputKind, Study

_ACCEPTED = "a DICOM series, a NIfTI volume (.nii, .nii.gz) or PNG/JPEG/BMP/TIFF slices"


@dataclass(frozen=True)
class Contents:
    """What an input holds, told before it is diagnosed."""

    kind: InputKind
    series: tuple[SeriesSummary, ...] = ()
    """Of a DICOM input, the one that would be read first; other inputs have no series."""
    study: Study | None = None
    """Of inputs that are not DICOM: they are read as a whole, as only then it is known what they hold."""
    notices: tuple[Notice, ...] = ()


def read_study(path: str | Path, series_uid: str | None = None, look: Callable[[Study], None] | None = None) -> Study:
    """Read one CT study from a file, a folder or a zip archive; the content decides what it is, not the name.

    A folder may hold DICOM series at any depth, one NIfTI file, or pictures. A study that was read but must not be
    assessed is returned all the same, with the refusals among its `notices`.

    Args:
        path: A folder, a zip archive, or a single DICOM, NIfTI or picture file. The directory of a DICOM disc
            (DICOMDIR) stands for the disc.
        series_uid: Series Instance UID of the DICOM series to read, in place of the one that is fit for diagnosis by
            the rules of `series_choice`.
        look: Called with a study of a few slices, evenly over the patient, before the others are decoded; for DICOM
            series of more than twice as many.

    Returns:
        The study in canonical form, with what the reader noticed in `notices`.

    Raises:
        InputError: There is no such file or folder, or nothing in it is a study.
        UnreadableFileError: A file that is needed is damaged or truncated.
        UnsupportedInputError: The input was read, but JCS does not take what it holds.
        UsageError: The input has no such series.

    Example:
        >>> study = read_study("scan.nii.gz")  # doctest: +SKIP
        >>> study.voxels.shape, study.intensity  # doctest: +SKIP
        ((301, 512, 512), <IntensityKind.HU: 'HU'>)
    """
    with _opened(Path(path)) as found:
        study = _read(found, series_uid, look)
        return replace(study, notices=(*_folder_notices(found), *study.notices))


def list_contents(path: str | Path, series_uid: str | None = None) -> Contents:
    """Tell what `read_study` would read, what else is there, and why that would not be read.

    Args:
        path: As for `read_study`.
        series_uid: As for `read_study`.

    Raises:
        InputError: As for `read_study`, as far as headers tell; pixels of DICOM files are not decoded.
        UsageError: The input has no such series.
    """
    with _opened(Path(path)) as found:
        if found.files[FileKind.DICOM]:
            survey = survey_dicom(found.files[FileKind.DICOM], found.root, series_uid)
            noticed = (*_folder_notices(found), *survey.notices())
            return Contents(InputKind.DICOM, survey.choice.series, notices=noticed)
        study = _read(found, series_uid)
        return Contents(study.kind, study=study, notices=(*_folder_notices(found), *study.notices))


@dataclass(frozen=True)
class _Found:
    """An input, laid out as files."""

    root: Path
    """Folder that names are given relative to."""
    called: str
    """What to call the input in messages."""
    files: dict[FileKind, list[Path]]
    broken: list[Path]
    whole: bool
    """Whether the input is a folder or an archive; else it is one file."""


@contextmanager
def _opened(path: Path) -> Iterator[_Found]:
    """The files of an input; those of an archive are unpacked for as long as the context lasts."""
    if not (path.is_dir() or path.is_file()):
        what = "is neither a file nor a folder" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}; expected {_ACCEPTED}: check the path")
    with quiet_libraries():
        if path.is_dir():
            yield _found_in(path, str(path))
            return
        kind = kind_of(path)
        if kind is FileKind.ZIP:
            with TemporaryDirectory(prefix="jcs-") as target:
                unpack(path, Path(target))
                yield _found_in(Path(target), path.name)
        elif kind is FileKind.DICOM and is_dicomdir(path):
            yield _found_in(path.parent, str(path.parent))
        elif kind is FileKind.UNKNOWN:
            what = "is empty" if path.stat().st_size == 0 else "is of an unknown kind, or damaged at its start"
            raise UnreadableFileError(f"{path.name} {what}; expected {_ACCEPTED}: check the file")
        else:
            files: dict[FileKind, list[Path]] = {each: [] for each in FileKind}
            files[kind].append(path)
            yield _Found(path.parent, path.name, files, [], whole=False)


def _found_in(root: Path, called: str) -> _Found:
    folder = list_folder(root)
    readable = max(len(folder.files[kind]) for kind in (FileKind.DICOM, FileKind.NIFTI, FileKind.IMAGE))
    if not readable:
        raise _nothing(folder, called)
    if len(folder.broken) > readable:
        name = folder.broken[0].relative_to(root).as_posix()
        raise UnreadableFileError(
            f"{called}: {len(folder.broken)} of {readable + len(folder.broken)} files are damaged, first {name}; "
            "copy or export the study again"
        )
    return _Found(root, called, folder.files, folder.broken, whole=True)


def _folder_notices(found: _Found) -> tuple[Notice, ...]:
    notices = []
    if damaged := tuple(file.relative_to(found.root).as_posix() for file in found.broken):
        notices.append(notice("files-damaged", count=len(damaged), files=damaged))
    if found.whole and (missing := missing_files(found.files[FileKind.DICOM])):
        notices.append(notice("dicomdir-files-missing", count=len(missing), files=tuple(missing)))
    return tuple(notices)


def _read(found: _Found, series_uid: str | None, look: Callable[[Study], None] | None = None) -> Study:
    """Read what was found: DICOM before NIfTI before pictures, which often lie beside the former as previews."""
    dicom, nifti, images = (found.files[kind] for kind in (FileKind.DICOM, FileKind.NIFTI, FileKind.IMAGE))
    if dicom:
        return read_dicom(dicom, found.root, series_uid, look)
    if series_uid is not None:
        raise UsageError(f"{found.called} holds no DICOM series, so none can be chosen: leave out the series UID")
    if len(nifti) > 1:
        names = [file.relative_to(found.root).as_posix() for file in nifti]
        raise UnsupportedInputError(
            f"{found.called} holds {len(nifti)} NIfTI files ({listing(names)}): give one of them"
        )
    if nifti:
        return read_nifti(nifti[0], nifti[0].relative_to(found.root).as_posix())
    return read_images(images, found.root)


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
