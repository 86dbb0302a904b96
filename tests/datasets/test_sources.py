"""Readers of the public sources: layouts, labels, and splits that keep patients apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from jcs_ct.datasets.sources import SOURCES, read_source
from jcs_ct.errors import DataError
from tests.mini_data import LABELLED, write_mini_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_data(tmp_path_factory.mktemp("data"))


def test_masked_slices_have_their_masks_and_splits(data: Path) -> None:
    records = read_source("covid-19-ct100", data)
    assert {record.group: record.split for record in records} == {
        "000": "train", "001": "train", "002": "train", "003": "train", "050": "val", "051": "val", "006": "test"
    }  # fmt: skip
    assert all(record.infected and record.mask is not None and record.mask.exists() for record in records)
    assert all(record.path.exists() for record in records)


def test_labelled_slices_have_label_group_and_split_of_the_table(data: Path) -> None:
    records = read_source("sars-cov-2-ct", data)
    assert Counter(record.split for record in records) == {split: 2 * count for split, count in LABELLED.items()}
    assert all(record.infected == (record.path.parent.name == "covid") for record in records)
    assert all(record.mask is None for record in records)


def test_a_folder_that_bears_the_sources_name_is_taken_itself(data: Path) -> None:
    assert read_source("mosmed-slices", data / "mosmed-slices") == read_source("mosmed-slices", data)


@pytest.mark.parametrize("name", SOURCES)
def test_a_missing_folder_is_a_data_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"expected the source {name} there"):
        read_source(name, tmp_path)


@pytest.mark.parametrize("name", ["covid-19-ct100", "covid-semiseg", "sars-cov-2-ct", "mosmed-slices"])
def test_an_empty_folder_is_a_data_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"expected"):
        read_source(name, tmp_path)


def test_an_unknown_source_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown source 'imagenet'; known are covid-19-ct100"):
        read_source("imagenet", tmp_path)


def test_a_slice_without_its_mask_is_a_data_error(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "covid-semiseg" / split / "images").mkdir(parents=True)
        (tmp_path / "covid-semiseg" / split / "images" / "001.png").touch()
    with pytest.raises(DataError, match=r"no mask for .*001\.png"):
        read_source("covid-semiseg", tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_no_patient_of_the_real_sources_lies_in_two_splits(name: str, shared_data: Path) -> None:
    splits = defaultdict(set)
    records = read_source(name, shared_data)
    for record in records:
        splits[record.group].add(record.split)
        assert record.split in ("train", "val", "test")
        assert record.path.exists()
        assert record.mask is None or record.mask.exists()
    assert [group for group, found in splits.items() if len(found) > 1] == []
    assert len({record.path for record in records}) == len(records)


def test_the_two_forms_of_one_set_are_split_alike(shared_data: Path) -> None:
    first, second = (
        {record.group: record.split for record in read_source(name, shared_data)}
        for name in ("covid-19-ct100", "covid-semiseg")
    )
    assert {group: split for group, split in first.items() if group in second} == second
    assert Counter(second.values()) == {"train": 42, "val": 8, "test": 48}
