from __future__ import annotations

import csv
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from jcs_ct.batch.discovery import discover
from jcs_ct.batch.fingerprint import fingerprint
from jcs_ct.batch.items import Item, Part, chosen_part, safe_name
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.batch.sources import read_item
from jcs_ct.batch.table import write_table
from jcs_ct.errors import InputError, UsageError
from tests.phantoms import UID_ROOT, write_dicom_series, write_nifti, write_png_slices

VOLUME = np.zeros((2, 8, 8), np.int16)


def dicom(folder: Path, study: int, patient: str = "", series: int = 1) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.StudyInstanceUID = f"{UID_ROOT}7.{study}"
        dataset.SOPInstanceUID = f"{UID_ROOT}7.{study}.{series}.{index}"
        dataset.PatientID = patient or f"P{study}"

    write_dicom_series(folder, VOLUME, series=series, edit=edit)


def names(items: list[Item]) -> list[str]:
    return [item.name for item in items]


def test_each_folder_archive_and_nifti_file_is_one_study(tmp_path: Path) -> None:
    dicom(tmp_path / "case-a", 1)
    write_png_slices(tmp_path / "case-b", VOLUME)
    write_nifti(tmp_path / "case-c.nii.gz", VOLUME)
    (tmp_path / "case-d").mkdir()
    write_nifti(tmp_path / "case-d" / "ct.nii", VOLUME)
    dicom(tmp_path / "zipped", 2)
    shutil.make_archive(str(tmp_path / "case-e"), "zip", tmp_path / "zipped")
    shutil.rmtree(tmp_path / "zipped")
    (tmp_path / "README.md").write_text("notes")
    items = discover([tmp_path])
    assert names(items) == ["case-a", "case-b", "case-c", "case-d", "case-e"]
    assert [Path(item.path).name for item in items] == ["case-a", "case-b", "case-c.nii.gz", "case-d", "case-e.zip"]


def test_mixed_dicom_files_are_grouped_by_study(tmp_path: Path) -> None:
    dicom(tmp_path / "inbox", 1)
    for path in (tmp_path / "inbox").iterdir():
        path.rename(path.with_name(f"one-{path.name}"))
    dicom(tmp_path / "inbox", 2)
    items = discover([tmp_path])
    assert [item.study_uid for item in items] == [f"{UID_ROOT}7.1", f"{UID_ROOT}7.2"]
    assert [len(item.files) for item in items] == [2, 2]
    assert len(set(names(items))) == 2


def test_series_of_one_study_in_two_folders_are_one_study(tmp_path: Path) -> None:
    dicom(tmp_path / "thin", 1, series=1)
    dicom(tmp_path / "thick", 1, series=2)
    dicom(tmp_path / "other", 2)
    items = discover([tmp_path])
    assert [item.study_uid for item in items] == [f"{UID_ROOT}7.1", None]
    assert len(items[0].files) == 4


def test_folders_that_repeat_the_same_images_stay_apart(tmp_path: Path) -> None:
    dicom(tmp_path / "one", 1, patient="SAME")
    dicom(tmp_path / "two", 1, patient="SAME")
    assert names(discover([tmp_path])) == ["one", "two"]


def test_patients_with_one_study_uid_stay_apart(tmp_path: Path) -> None:
    dicom(tmp_path / "one", 1, patient="A", series=1)
    dicom(tmp_path / "two", 1, patient="B", series=2)
    assert names(discover([tmp_path])) == ["one", "two"]


def test_studies_deep_below_are_found_and_named_by_their_way(tmp_path: Path) -> None:
    dicom(tmp_path / "ward" / "p1" / "DICOM", 1)
    dicom(tmp_path / "ward" / "p2" / "DICOM", 2)
    write_png_slices(tmp_path / "office" / "pictures", VOLUME)
    assert names(discover([tmp_path])) == ["office", "ward_p1_DICOM", "ward_p2_DICOM"]


def test_pictures_of_two_patients_below_one_folder_are_two_studies(tmp_path: Path) -> None:
    write_png_slices(tmp_path / "hospital" / "a", VOLUME)
    write_png_slices(tmp_path / "hospital" / "b", VOLUME)
    assert names(discover([tmp_path])) == ["hospital_a", "hospital_b"]


def test_a_folder_that_is_one_study_is_one_study(tmp_path: Path) -> None:
    dicom(tmp_path / "patient" / "s1", 1, series=1)
    dicom(tmp_path / "patient" / "s2", 1, series=2)
    write_png_slices(tmp_path / "pictures", VOLUME)
    items = discover([tmp_path / "patient", tmp_path / "pictures"])
    assert [item.path for item in items] == [str(tmp_path / "patient"), str(tmp_path / "pictures")]
    assert names(items) == ["patient", "pictures"]


def test_previews_beside_dicom_files_are_no_study_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dicom(tmp_path / "case" / "dicom", 1)
    write_png_slices(tmp_path / "case" / "previews", VOLUME)
    assert names(discover([tmp_path])) == ["case"]
    assert "2 pictures or NIfTI files beside DICOM files are left out" in caplog.text


def test_what_cannot_be_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"nonsense")
    assert names(discover([tmp_path])) == ["broken", "empty", "loop", "notes", "nowhere"]


def test_links_to_study_folders_are_followed(tmp_path: Path) -> None:
    dicom(tmp_path / "archive" / "x", 1)
    (tmp_path / "wanted").mkdir()
    (tmp_path / "wanted" / "x").symlink_to(tmp_path / "archive" / "x")
    assert names(discover([tmp_path / "wanted"])) == ["x"]


def test_no_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        discover([tmp_path / "gone"])
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="found no study"):
        discover([tmp_path / "bare"])


@pytest.mark.parametrize(
    "label", ["two\nlines", "a/b", "../../up", "Müller, Jürgen", "nul", "", "…", "x" * 300, "case.", "a:b|c"]
)
def test_names_are_safe_and_differ(label: str) -> None:
    name = safe_name(label)
    assert name != label
    assert name.isprintable()
    assert not set(name) & set('/\\:*?"<>|\n')
    assert 0 < len(name) <= 80
    assert not name.startswith(".")
    assert safe_name(label) == name
    assert safe_name(label + "!") != name


def test_safe_labels_are_names() -> None:
    assert [safe_name(label) for label in ("case_001", "A-1.2")] == ["case_001", "A-1.2"]


def test_equal_names_of_two_inputs_are_told_apart(tmp_path: Path) -> None:
    for place in ("a", "b"):
        dicom(tmp_path / place / "case", 1)
        dicom(tmp_path / place / "CASE2", 2)
    found = names(discover([tmp_path / "a", tmp_path / "b"]))
    assert found[:2] == ["CASE2", "case"]
    assert len(set(found)) == 4


def test_the_same_study_twice_is_refused(tmp_path: Path) -> None:
    dicom(tmp_path / "case", 1)
    with pytest.raises(UsageError, match="given twice"):
        discover([tmp_path / "case", tmp_path / "case", tmp_path / "case"])


# Tables


def test_table_names_studies_and_their_options(tmp_path: Path) -> None:
    table = tmp_path / "studies.csv"
    table.write_text("path,id,series_uid,lungs,remark\ncase,first,1.2,l.nii,hello\n/data/b.nii.gz,,,,\n")
    first, second = discover([table])
    assert first == Item("first", str(tmp_path / "case"), None, (), "1.2", str(tmp_path / "l.nii"))
    assert second == Item("b", "/data/b.nii.gz")


def test_parquet_table_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"path": ["a", "b"], "id": ["x", None]}), tmp_path / "t.parquet")
    assert names(discover([tmp_path / "t.parquet"])) == ["x", "b"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("folder\nx\n", "found the columns folder; expected path"),
        ("path,id\nx,1\ny,1\n", "line 3: found the id '1' a second time"),
        ("path,id\n,1\n", "line 2: the path is empty"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=why):
        discover([tmp_path / "t.csv"])


def test_written_table_gives_the_same_studies(tmp_path: Path) -> None:
    dicom(tmp_path / "in" / "inbox", 1)
    for path in (tmp_path / "in" / "inbox").iterdir():
        path.rename(path.with_name(f"one-{path.name}"))
    dicom(tmp_path / "in" / "inbox", 2)
    dicom(tmp_path / "in" / "case", 3)
    found = discover([tmp_path / "in"])
    write_table(found, tmp_path / "plan.csv")
    again = discover([tmp_path / "plan.csv"])
    assert [(i.name, i.path, i.study_uid) for i in again] == [(i.name, i.path, i.study_uid) for i in found]
    with (tmp_path / "plan.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 3


# Parts


def test_parts_share_all_studies_and_no_study_twice() -> None:
    items = [Item(f"case{number}", "x") for number in range(100)]
    shares = [[item for item in items if Part(index, 4).has(item)] for index in range(4)]
    assert sorted(names([item for share in shares for item in share])) == sorted(names(items))
    assert min(map(len, shares)) > 10


def test_part_is_taken_from_the_scheduler() -> None:
    assert chosen_part("auto", None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}) == Part(3, 8)
    one_based = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MIN": "1"}
    assert chosen_part("auto", None, one_based) == Part(0, 8)
    assert chosen_part("auto", "20", {"JOB_COMPLETION_INDEX": "19"}) == Part(19, 20)
    assert chosen_part("2", "3", {}) == Part(2, 3)
    assert chosen_part(None, None, {}) is None


@pytest.mark.parametrize(
    ("part", "of", "environment", "why"),
    [
        ("auto", None, {}, "found none of the variables"),
        ("auto", None, {"JOB_COMPLETION_INDEX": "1"}, "give it by --of"),
        ("1", None, {}, "belong together"),
        (None, "2", {}, "belong together"),
        ("2", "2", {}, "expected a number from 0 to 1"),
        ("one", "2", {}, "expected a number"),
    ],
)
def test_wrong_parts_are_refused(part: str | None, of: str | None, environment: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        chosen_part(part, of, environment)


def test_zip_archives_among_dicom_files_are_studies(tmp_path: Path) -> None:
    dicom(tmp_path / "case", 1)
    with zipfile.ZipFile(tmp_path / "case" / "old.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    case, archive_item = discover([tmp_path])
    assert case.study_uid == f"{UID_ROOT}7.1"  # by its files, as the folder holds more than it
    assert Path(archive_item.path).name == "old.zip"


@pytest.mark.parametrize("given", ["the archive", "its folder", "a table"])
def test_archive_of_several_studies_is_several_studies(tmp_path: Path, given: str) -> None:
    for number in (1, 2, 3):
        dicom(tmp_path / "all" / f"p{number}", number)
    (tmp_path / "all" / "notes.txt").write_text("notes")
    (tmp_path / "in").mkdir()
    archive = Path(shutil.make_archive(str(tmp_path / "in" / "five"), "zip", tmp_path / "all"))
    items = discover([archive if given == "the archive" else tmp_path / "in"])
    if given == "a table":
        write_table(items, tmp_path / "in" / "studies.csv")
        items = discover([tmp_path / "in" / "studies.csv"])
    assert [item.study_uid for item in items] == [f"{UID_ROOT}7.{number}" for number in (1, 2, 3)]
    assert names(items) == [f"five_{item.study_uid}" for item in items]
    settings = WorkSettings(str(tmp_path / "out"))
    found = [read_item(item, settings) for item in items]
    assert [study.attributes["PatientID"] for study in found] == ["P1", "P2", "P3"]
    assert len({fingerprint(item) for item in items}) == 3


def test_patients_of_one_study_uid_in_an_archive_have_names_of_their_own(tmp_path: Path) -> None:
    for patient in "ABC":
        dicom(tmp_path / "all" / patient, 1, patient=patient)
    archive = Path(shutil.make_archive(str(tmp_path / "five"), "zip", tmp_path / "all"))
    items = discover([archive])
    assert len(set(names(items))) == 3
    assert names(items) == names(discover([archive]))
    settings = WorkSettings(str(tmp_path / "out"))
    assert [read_item(item, settings).attributes["PatientID"] for item in items] == ["A", "B", "C"]
