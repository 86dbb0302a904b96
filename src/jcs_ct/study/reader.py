"""Finds out what an input is, and has it read: the one way from files to a Study."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from jcs_ct.errors import InputError, UnreadableFileError, UnsupportedInputError, UsageError
from jcs_ct.notices import Notice, notice, printable
from jcs_ct.study.archive import unpack, unpack_gzip
from jcs_ct.study.dicom import read_dicom, survey_dicom
from jcs_ct.study.dicom_studies import files_of_studies
from jcs_ct.study.dicomdir import is_dicomdir, missing_files
from jcs_ct.study.files import FileKind, Folder, Names, kind_of, list_folder, listing, other_format
from jcs_ct.study.images import read_images
from jcs_ct.study.nifti import read_nifti
from jcs_ct.study.quiet import quiet_libraries
from jcs_ct.study.scratch import ScratchFolder
from jcs_ct.study.series_choice import SeriesSummary
from jcs_ct.study.volume import InputKind, Study

_ACCEPTED = "a DICOM series, a NIfTI volume (.nii, .nii.gz) or PNG/JPEG/BMP/TIFF slices"


_HOLDERS = ("a 7z", "a RAR", "a tar", "a bzip2", "an xz", "a Zstandard", "a gzip", "an NRRD", "a MetaImage")
"""Other formats that images may be in; others, such as PDF, are no part of a study."""


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
        SeveralStudiesError: It holds several studies, and no series is chosen.
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
            survey = survey_dicom(found.files[FileKind.DICOM], found.names, series_uid)
            noticed = (*_folder_notices(found), *survey.notices())
            return Contents(InputKind.DICOM, survey.choice.series, notices=noticed)
        study = _read(found, series_uid)
        return Contents(study.kind, study=study, notices=(*_folder_notices(found), *study.notices))


def split_studies(path: str | Path, target: Path) -> tuple[Path, ...]:
    """Lay out each study of an input in a folder of its own.

    Args:
        path: An input of DICOM files, as for `read_study`.
        target: A folder that does not exist. Files on the same disk are linked and not copied.

    Returns:
        The folders, each of which `read_study` takes, in the order of the files of `path`.

    Raises:
        InputError: As for `read_study`, as far as headers tell.
    """
    with _opened(Path(path)) as found:
        dicom = found.files[FileKind.DICOM]
        studies = survey_dicom(dicom, found.names).choice.studies
        placed = {frame.path for study in studies for frame in study.frames}
        others = [file for file in (*dicom, *found.broken) if file not in placed and not is_dicomdir(file)]
        folders = []
        for number, files in enumerate(files_of_studies(studies, others), start=1):
            folders.append(target / str(number))
            for file in files:
                _place(file, folders[-1] / found.names.place(file))
    return tuple(folders)


def _place(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(file, target)


@dataclass(frozen=True)
class _Found:
    """An input, laid out as files."""

    names: Names
    called: str
    """What to call the input in messages."""
    files: dict[FileKind, list[Path]]
    broken: list[Path]
    other: list[Path] = field(default_factory=list)
    """Files of kinds that are not read."""
    whole: bool = True
    """Whether the input is a folder or an archive; else it is one file."""


@contextmanager
def _opened(path: Path) -> Iterator[_Found]:
    """The files of an input; those of archives are unpacked for as long as the context lasts."""
    if not (path.is_dir() or path.is_file()):
        what = "is neither a file nor a folder" if path.exists() else "does not exist"
        raise InputError(f"{printable(str(path))} {what}; expected {_ACCEPTED}: check the path")
    with quiet_libraries(), ScratchFolder() as scratch:
        called, kind = printable(path.name), FileKind.UNKNOWN if path.is_dir() else kind_of(path)
        if path.is_dir():
            yield _found_in(path, printable(str(path)), scratch)
        elif kind is FileKind.ZIP:
            target = scratch.new("unpacked")
            unpack(path, target)
            yield _found_in(target, called, scratch)
        elif kind is FileKind.GZIP:
            target = scratch.new("unpacked")
            unpack_gzip(path, target / path.name)
            yield _found_in(target, called, scratch)
        elif kind is FileKind.DICOM and is_dicomdir(path):
            yield _found_in(path.parent, printable(str(path.parent)), scratch)
        elif kind is FileKind.UNKNOWN:
            raise _unknown(path)
        else:
            files: dict[FileKind, list[Path]] = {each: [] for each in FileKind}
            files[kind].append(path)
            yield _Found(Names(path.parent), called, files, [], whole=False)


def _unknown(path: Path) -> InputError:
    name = printable(path.name)
    if words := other_format(path):
        return UnsupportedInputError(f"{name} is {words}; expected {_ACCEPTED}: unpack or convert it")
    what = "is empty" if path.stat().st_size == 0 else "is of an unknown kind, or damaged at its start"
    return UnreadableFileError(f"{name} {what}; expected {_ACCEPTED}: check the file")


def _found_in(root: Path, called: str, scratch: ScratchFolder) -> _Found:
    folder = list_folder(root)
    names = Names(root)
    packed = folder.files[FileKind.GZIP] + ([] if _readable(folder) else folder.files[FileKind.ZIP])
    if packed:
        names = Names(root, scratch.new("packed"))
        folder = _with_unpacked(folder, packed, names)
    readable = _readable(folder)
    if not readable:
        raise _nothing(folder, called)
    if len(folder.broken) > readable:
        raise UnreadableFileError(
            f"{called}: {len(folder.broken)} of {readable + len(folder.broken)} files are damaged, first "
            f"{names.of(folder.broken[0])}; copy or export the study again"
        )
    return _Found(names, called, folder.files, folder.broken, folder.skipped)


def _readable(folder: Folder) -> int:
    return max(len(folder.files[kind]) for kind in (FileKind.DICOM, FileKind.NIFTI, FileKind.IMAGE))


def _with_unpacked(folder: Folder, packed: list[Path], names: Names) -> Folder:
    """A folder with what the archives in it hold, one level deep: archives in these stay closed."""
    assert names.unpacked is not None
    for path in packed:
        inner = names.unpacked / path.relative_to(names.folder)
        if path in folder.files[FileKind.ZIP]:
            inner.mkdir(parents=True)
            unpack(path, inner)
        else:
            unpack_gzip(path, inner)
    inside = list_folder(names.unpacked)
    files = {
        kind: [path for path in folder.files[kind] if path not in packed] + inside.files[kind] for kind in FileKind
    }
    return Folder(files, folder.broken + inside.broken, folder.skipped + inside.skipped)


def _folder_notices(found: _Found) -> tuple[Notice, ...]:
    notices = []
    if damaged := tuple(found.names.of(file) for file in found.broken):
        notices.append(notice("files-damaged", count=len(damaged), files=damaged))
    if found.whole and (missing := missing_files(found.files[FileKind.DICOM])):
        notices.append(notice("dicomdir-files-missing", count=len(missing), files=tuple(missing)))
    kinds = [kind for kind in (FileKind.DICOM, FileKind.NIFTI, FileKind.IMAGE) if found.files[kind]]
    others = [file for kind in (*kinds[1:], FileKind.ZIP) for file in found.files[kind]]
    others += [file for file in found.other if (other_format(file) or "").startswith(_HOLDERS)]
    if others and found.whole:
        files = tuple(found.names.of(file) for file in others)
        notices.append(notice("other-kinds-left-out", count=len(files), kind=str(kinds[0]), files=files))
    return tuple(notices)


def _read(found: _Found, series_uid: str | None, look: Callable[[Study], None] | None = None) -> Study:
    """Read what was found: DICOM before NIfTI before pictures, which often lie beside the former as previews."""
    dicom, nifti, images = (found.files[kind] for kind in (FileKind.DICOM, FileKind.NIFTI, FileKind.IMAGE))
    if dicom:
        return read_dicom(dicom, found.names, series_uid, look)
    if series_uid is not None:
        raise UsageError(f"{found.called} holds no DICOM series, so none can be chosen: leave out the series UID")
    if len(nifti) > 1:
        names = [found.names.of(file) for file in nifti]
        raise UnsupportedInputError(
            f"{found.called} holds {len(nifti)} NIfTI files ({listing(names)}): give one of them"
        )
    if nifti:
        return read_nifti(nifti[0], found.names.of(nifti[0]))
    return read_images(images, found.names)


def _nothing(folder: Folder, called: str) -> InputError:
    if folder.broken:
        names = [file.name for file in folder.broken]
        if words := other_format(folder.broken[0]):
            return UnsupportedInputError(f"{called} holds {words} ({listing(names)}); expected {_ACCEPTED}: unpack it")
        return UnreadableFileError(
            f"{called} holds only damaged files, or files that are not what their names say ({listing(names)}); "
            f"expected {_ACCEPTED}: copy or export the study again"
        )
    others = [file.name for file in folder.skipped + folder.files[FileKind.ZIP]]
    known = [words for file in folder.skipped if (words := other_format(file))]
    kinds = f"{', '.join(dict.fromkeys(known))}: {listing(others)}" if known else listing(others)
    what = f"only files of other kinds ({kinds})" if others else "no files"
    return InputError(f"{called} holds {what}; expected {_ACCEPTED}: check the path")
