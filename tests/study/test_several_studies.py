"""Several studies in one input: refused and listed, and parted into folders that hold one each."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from jcs_ct.errors import InputError, SeveralStudiesError
from jcs_ct.study import read_study
from jcs_ct.study.reader import split_studies
from tests.altered import stating
from tests.noticed import values_of
from tests.phantoms import UID_ROOT, ChestPhantom, write_dicom_series

PHANTOM = ChestPhantom(shape=(6, 64, 64), spacing=(25.0, 5.0, 5.0))


def patient(folder: Path, number: int, prefix: str = "") -> Path:
    """A study of one patient; its noise tells it from others."""
    hu = ChestPhantom(shape=(6, 64, 64), spacing=(25.0, 5.0, 5.0), noise=5.0 * number).hu
    edit = stating(PatientID=f"P{number}", PatientName=f"Name^{number}", StudyInstanceUID=f"{UID_ROOT}7.{number}")
    part = folder / f"new{number}"
    for path in write_dicom_series(part, hu, series=number, edit=edit):
        path.rename(folder / f"{prefix}{number}-{path.name}")
    part.rmdir()
    return folder


def five(folder: Path) -> Path:
    folder.mkdir()
    for number in range(1, 6):
        patient(folder, number)
    return folder


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of each of the five studies alone."""
    folders = [patient(tmp_path_factory.mktemp("alone"), number) for number in range(1, 6)]
    return [read_study(folder).digest for folder in folders]


@pytest.mark.parametrize("kind", ["one folder", "a folder each", "zip", "zips in a folder", "zips in a zip", "gzip"])
def test_five_patients_are_refused_and_parted(tmp_path: Path, digests: list[str], kind: str) -> None:
    given = five(tmp_path / "in")
    if kind in ("a folder each", "zips in a folder", "zips in a zip"):
        for path in sorted(given.iterdir()):
            (given / path.name[0]).mkdir(exist_ok=True)
            path.rename(given / path.name[0] / path.name)
    if kind.startswith("zips"):
        for folder in sorted(given.iterdir()):
            shutil.make_archive(str(folder), "zip", folder)
            shutil.rmtree(folder)
    if kind in ("zip", "zips in a zip"):
        given = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", given))
    if kind == "gzip":
        for path in sorted(given.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()
    with pytest.raises(SeveralStudiesError, match="found 5 studies of 5 patients, expected one: P1 of"):
        read_study(given)
    parted = split_studies(given, tmp_path / "parted")
    assert [read_study(folder).digest for folder in parted] == digests


def test_two_studies_of_one_patient_are_two(tmp_path: Path) -> None:
    for number in (1, 2):
        patient(tmp_path, number)
    edit = stating(PatientID="P1", PatientName="Name^1", StudyInstanceUID=f"{UID_ROOT}7.1")
    write_dicom_series(tmp_path / "more", PHANTOM.hu, series=9, edit=edit)
    parted = split_studies(tmp_path, tmp_path.parent / "parted")
    assert [len(list(folder.rglob("*.dcm"))) for folder in parted] == [12, 6]


def test_study_of_one_is_parted_into_one(tmp_path: Path) -> None:
    (folder,) = split_studies(patient(tmp_path, 1), tmp_path.parent / "parted")
    assert read_study(folder).digest == read_study(tmp_path).digest


def test_damaged_files_go_with_the_studies_beside_them(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "in" / str(number)).mkdir(parents=True)
        patient(tmp_path / "in" / str(number), number)
    (tmp_path / "in" / "1" / "lost.dcm").write_bytes(b"\0" * 200)
    (tmp_path / "in" / "anywhere.dcm").write_bytes(b"\0" * 200)
    first, second = (
        values_of(read_study(folder).notices, "files-damaged")["files"]
        for folder in split_studies(tmp_path / "in", tmp_path / "parted")
    )
    assert first in (("1/lost.dcm", "anywhere.dcm"), ("anywhere.dcm", "1/lost.dcm"))
    assert second == ("anywhere.dcm",)


def test_what_holds_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(InputError, match="other kinds"):
        split_studies(tmp_path, tmp_path / "parted")
