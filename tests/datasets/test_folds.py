"""Folds: every group is tested on once, and never lies on two sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source
from jcs_ct.errors import DataError, UsageError


def record(number: int, group: str, infected: bool, source: str = "own") -> SliceRecord:
    return SliceRecord(source, Path(f"{number}.png"), "train", infected, group)


RECORDS = [record(k, f"p{k // 4}", k // 4 % 2 == 0) for k in range(80)] + [record(0, "q", True, "other")]


def folds(records: list[SliceRecord], source: str = "own", count: int = 5) -> list[list[SliceRecord]]:
    return [refolded(records, Fold(source, number, count)) for number in range(1, count + 1)]


def test_every_slice_is_tested_on_once_and_validates_once() -> None:
    dealt = folds(RECORDS)
    for place in range(80):
        assert Counter(records[place].split for records in dealt) == {"train": 3, "val": 1, "test": 1}


def test_a_group_lies_on_one_side() -> None:
    for records in folds(RECORDS):
        sides = {(r.group, r.split) for r in records if r.source == "own"}
        assert len(sides) == 20


def test_both_labels_are_dealt_alike() -> None:
    for records in folds(RECORDS):
        for split in ("train", "val", "test"):
            labels = [r.infected for r in records if r.split == split and r.source == "own"]
            assert sum(map(bool, labels)) == len(labels) / 2


def test_other_sources_keep_their_split_and_order() -> None:
    for records in folds(RECORDS):
        assert records[-1] == RECORDS[-1]
        assert [r.path for r in records] == [r.path for r in RECORDS]


def test_a_fold_is_the_same_again() -> None:
    assert folds(RECORDS) == folds(RECORDS)


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(DataError, match="found 20 patients or groups, expected at least 21"):
        refolded(RECORDS, Fold("own", 1, 21))
    with pytest.raises(DataError, match="found 0 patients"):
        refolded(RECORDS, Fold("nowhere", 1, 5))


def test_a_fold_is_read_as_it_is_written() -> None:
    assert Fold.parse("sars-cov-2-ct:2of5") == Fold("sars-cov-2-ct", 2, 5)
    for text in ("sars-cov-2-ct", "sars-cov-2-ct:2/5", ":1of5", "a:xof5"):
        with pytest.raises(UsageError, match="expected SOURCE:KofN"):
            Fold.parse(text)
    for text in ("a:0of5", "a:6of5", "a:1of2"):
        with pytest.raises(UsageError, match="at least three folds"):
            Fold.parse(text)


def test_no_patient_of_the_real_source_lies_on_two_sides(shared_data: Path) -> None:
    for records in folds(read_source("sars-cov-2-ct", shared_data), "sars-cov-2-ct"):
        sides = {(r.group, r.split) for r in records}
        assert len(sides) == len({r.group for r in records})
        infected = [r.infected for r in records if r.split == "test"]
        assert 0.4 < sum(map(bool, infected)) / len(infected) < 0.6
