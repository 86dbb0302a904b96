"""A user's own table: what it says, how patients are split, and everything that is refused with its row and file."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jcs_ct.datasets.own import TABLE, read_own, split_by_patient, write_table
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source, sources_in
from jcs_ct.errors import DataError, OverlapError
from tests import own_data
from tests.command_line import CommandLine
from tests.own_data import COLUMNS, Row


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Three pictures of three patients, the first of them with a mask; not yet in a table."""
    shown = []
    for k, split in enumerate(("train", "val", "test")):
        image = np.random.default_rng(k).integers(0, 255, (70, 80), np.uint8)
        own_data.save(tmp_path / f"{k}.png", image)
        shown.append(Row(f"{k}.png", f"p{k}", split, "1" if k == 0 else "0"))
    own_data.save(tmp_path / "mask.png", np.eye(70, 80, dtype=np.uint8))
    shown[0].mask = "mask.png"
    return shown


def read(folder: Path) -> list[SliceRecord]:
    return read_own(folder, "mine").records


def test_rows_become_records(rows: list[Row], tmp_path: Path) -> None:
    own_data.write_table(tmp_path, rows)
    first, second, _ = read(tmp_path)
    assert first == SliceRecord(
        "mine", tmp_path / "0.png", "train", True, "p0", tmp_path / "mask.png", own=True, line=2
    )
    assert (second.infected, second.mask, second.split, second.line) == (False, None, "val", 3)


def test_labels_may_be_left_open_and_pictures_may_lie_on_their_side(rows: list[Row], tmp_path: Path) -> None:
    rows[0].infected = ""
    own_data.write_table(tmp_path, rows)
    table = tmp_path / TABLE
    text = table.read_text().replace("mask\n", "mask,turned\n").replace("mask.png\n", "mask.png,1\n")
    table.write_text("\ufeff" + text)  # as spreadsheets begin a table
    first, second, _ = read(tmp_path)
    assert (first.infected, first.quarter_turns, second.quarter_turns) == (None, 1, 0)


def test_the_folder_and_own_both_name_the_source(rows: list[Row], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ours"
    folder.parent.mkdir()
    own_data.write_table(tmp_path, rows)
    tmp_path.joinpath("data", "ours").symlink_to(tmp_path)
    assert [r.source for r in read_source("ours", tmp_path / "data")] == ["ours"] * 3
    assert [r.source for r in read_source("ours", folder)] == ["ours"] * 3
    assert [r.source for r in read_source("own", folder)] == ["own"] * 3
    assert sources_in(tmp_path / "data") == ["ours"]
    assert sources_in(tmp_path) == [tmp_path.name]
    with pytest.raises(DataError, match="expected own data there"):
        read_source("own", tmp_path / "data")


def test_a_study_is_told_from_a_picture_by_what_it_holds(tmp_path: Path) -> None:
    rows = own_data.write_studies(tmp_path)
    assert all(record.study for record in read(tmp_path))
    assert [record.path.name for record in read(tmp_path)] == [row.path for row in rows]


def test_the_table_in_the_docs_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```csv\n(.*?)```", text, flags=re.DOTALL)
    own_data.write_studies(tmp_path)
    shutil.copytree(tmp_path / "well2", tmp_path / "studies" / "series9")
    for name in ("ct0", "mask0"):
        shown = {"ct0": "ct7", "mask0": "ct7_mask"}[name]
        (tmp_path / f"{name}.nii.gz").replace(tmp_path / "studies" / f"{shown}.nii.gz")
    for k, name in enumerate(("images/0001", "images/0002", "masks/0001")):
        own_data.save(tmp_path / f"{name}.png", np.full((9, 9), k, np.uint8))
    (tmp_path / TABLE).write_text(table)
    assert [(r.study, r.infected, r.mask is not None) for r in read(tmp_path)] == [
        (False, True, True),
        (False, True, False),
        (True, True, True),
        (True, False, False),
    ]


# ------------------------------------------------------------------------------------------------------ refusals


def assert_refused(folder: Path, message: str, jcs: CommandLine) -> None:
    """As a data error in Python, and on the command line in one line with exit code 2."""
    with pytest.raises(DataError, match=message) as refused:
        read(folder)
    for trial in ("statistics", "segmentation"):
        assert jcs("evaluate", trial, "--data", folder).refusal() == " ".join(str(refused.value).splitlines())


def spoil(field: str, value: str, row: int = 0) -> Callable[[list[Row], Path], None]:
    """Put a value into the table."""

    def change(rows: list[Row], folder: Path) -> None:
        del folder
        setattr(rows[row], field, value)

    return change


def damage(name: str) -> Callable[[list[Row], Path], None]:
    def change(rows: list[Row], folder: Path) -> None:
        del rows
        (folder / name).write_bytes(b"no picture")

    return change


def cut(name: str) -> Callable[[list[Row], Path], None]:
    """Keep so little of a picture that not even its header is whole."""

    def change(rows: list[Row], folder: Path) -> None:
        del rows
        (folder / name).write_bytes((folder / name).read_bytes()[:14])

    return change


def small_mask(rows: list[Row], folder: Path) -> None:
    del rows
    own_data.save(folder / "mask.png", np.zeros((10, 12), np.uint8))


def link_out(rows: list[Row], folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(outside)
    (folder / "link.png").symlink_to(outside)
    rows[1].path = "link.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("path", ""), r"line 2: found no path"),
        (spoil("path", "9.png"), r"line 2: path 9\.png does not exist"),
        (spoil("path", "../x.png"), r"line 2: path \.\./x\.png leads out of"),
        (spoil("path", "/etc/hostname"), r"line 2: path /etc/hostname leads out of"),
        (link_out, r"line 3: path link\.png leads out of"),
        (spoil("patient", "", 1), r"line 3: found no patient"),
        (spoil("split", "training"), r"line 2: found split 'training', expected train, val or test"),
        (spoil("split", "", 2), r"line 4: found split ''"),
        (spoil("infected", "yes"), r"line 2: found infected 'yes', expected 1, 0 or nothing"),
        (spoil("mask", "9.png"), r"line 2: mask 9\.png does not exist"),
        (spoil("mask", "../m.png"), r"line 2: mask \.\./m\.png leads out of"),
        (small_mask, r"line 2: the mask mask\.png has 12 x 10 pixels, expected 80 x 70 as 0\.png has"),
        (damage("1.png"), r"line 3: 1\.png is damaged or of an unknown kind"),
        (damage("mask.png"), r"line 2: mask\.png is damaged or of an unknown kind"),
        (cut("0.png"), r"line 2: 0\.png is damaged"),
        (spoil("path", "0.png", 1), r"lines 2 and 3: both name 0\.png"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_file(
    change: Callable[[list[Row], Path], None], message: str, rows: list[Row], tmp_path: Path, jcs: CommandLine
) -> None:
    change(rows, tmp_path)
    own_data.write_table(tmp_path, rows)
    assert_refused(tmp_path, message, jcs)


@pytest.mark.parametrize("column", ["path", "patient", "infected", "mask"])
def test_a_missing_column_is_refused(column: str, rows: list[Row], tmp_path: Path, jcs: CommandLine) -> None:
    own_data.write_table(tmp_path, rows, [name for name in COLUMNS if name != column])
    assert_refused(tmp_path, rf"slices\.csv: found the columns .*, expected also {column}:", jcs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found the columns none"),
        (b"path,patient,infected,mask\n", "found no rows"),
        (b"path;patient;infected;mask\na;b;1;\n", "expected also path, patient"),
        (b"path,patient,infected,mask\na,b,1,,too,much\n", "line 2: found more fields than columns"),
        (b"path,patient,infected,mask\n\xff\xfe,b,1,\n", "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(content: bytes, message: str, tmp_path: Path, jcs: CommandLine) -> None:
    (tmp_path / TABLE).write_bytes(content)
    assert_refused(tmp_path, message, jcs)


def test_a_patient_in_two_splits_is_refused_by_name(rows: list[Row], tmp_path: Path) -> None:
    rows[2].patient = "p0"
    own_data.write_table(tmp_path, rows)
    with pytest.raises(OverlapError, match=r"1 patients in two splits: p0 \(train in line 2, test in line 4\)"):
        read(tmp_path)


def test_one_file_under_two_names_on_two_sides_is_refused(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    own_data.write_table(tmp_path, rows)
    with pytest.raises(OverlapError, match=r"1\.png \(val, line 3\) and 2\.png \(test, line 4\)"):
        read(tmp_path)


def test_one_file_with_both_labels_is_refused(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    rows[2] = replace(rows[2], split="val", infected="1")
    own_data.write_table(tmp_path, rows)
    with pytest.raises(DataError, match=r"lines 3 and 4: 1\.png and 2\.png are the same file and bear both labels"):
        read(tmp_path)


def test_studies_of_one_patient_with_both_labels_are_refused(tmp_path: Path) -> None:
    rows = own_data.write_studies(tmp_path)
    rows[1] = replace(rows[1], patient=rows[0].patient)
    own_data.write_table(tmp_path, rows)
    with pytest.raises(DataError, match=r"lines 2 and 3: the studies ct0\.nii\.gz and well0 of patient sick 0"):
        read(tmp_path)


def test_a_picture_cannot_be_the_mask_of_a_study(rows: list[Row], tmp_path: Path) -> None:
    studies = own_data.write_studies(tmp_path)
    studies[0].mask = "mask.png"
    own_data.write_table(tmp_path, [*rows, *studies])
    with pytest.raises(DataError, match=r"line 5: the mask mask\.png is no NIfTI"):
        read(tmp_path)


# --------------------------------------------------------------------------------------------------------- splits


def records_of(kinds: dict[str, int]) -> list[SliceRecord]:
    labels = {"sick": True, "well": False}
    return [
        SliceRecord("mine", Path(f"{kind}{k}.png"), "", labels[kind], f"{kind}{k}")
        for kind, count in kinds.items()
        for k in range(count)
    ]


def test_patients_are_split_alike_in_every_kind_and_always_the_same() -> None:
    records = records_of({"sick": 40, "well": 20})
    splits = split_by_patient(records)
    assert splits == split_by_patient(records[::-1])
    for kind, expected in (("sick", {"train": 26, "val": 6, "test": 8}), ("well", {"train": 13, "val": 3, "test": 4})):
        assert Counter(split for patient, split in splits.items() if patient.startswith(kind)) == expected


@pytest.mark.parametrize(("count", "expected"), [(1, {"train"}), (2, {"train", "val"}), (3, {"train", "val", "test"})])
def test_few_patients_train_first(count: int, expected: set[str]) -> None:
    assert set(split_by_patient(records_of({"sick": count})).values()) == expected


def test_a_made_split_can_be_written_out_and_is_then_the_tables(rows: list[Row], tmp_path: Path) -> None:
    own_data.write_table(tmp_path, rows, [name for name in COLUMNS if name != "split"])
    made = read_own(tmp_path, "mine")
    assert made.split_was_made
    assert {record.split for record in made.records} <= {"train", "val", "test"}
    write_table(made.records, tmp_path, tmp_path / TABLE)
    again = read_own(tmp_path, "mine")
    assert not again.split_was_made
    assert again.records == made.records
