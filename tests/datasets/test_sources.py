"""Readers of the public sources: layouts, labels, and splits that keep patients apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
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
def test_a_source_is_declared_under_the_name_of_its_folder(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    assert source.licence
    assert source.form_of is None or source.form_of in SOURCES


def test_a_series_with_masks_gives_lesions_lungs_and_its_patient(data: Path) -> None:
    records = read_source("coronacases-masks", data)
    assert {record.group for record in records} == {"coronacases_001", "coronacases_002", "coronacases_003"}
    assert {record.split for record in records if record.group == "coronacases_002"} == {"train"}
    assert all(record.lung_mask is not None and record.lung_mask.exists() for record in records)
    assert all((record.mask is not None) is record.infected for record in records)


def test_a_slice_of_a_labelled_study_has_the_label_from_the_head_down(tmp_path: Path) -> None:
    folder = tmp_path / "covid-ct-md"
    for name in ("Sample data/COVID-19 subjects/P001", "Sample data/Normal subjects/normal002", "normal002"):
        (folder / name).mkdir(parents=True)
    (folder / "Index.csv").write_text("Label Index,Folder/ID\n1,P001\n7,cap009\n")
    np.save(folder / "Slice-level-labels-updated-1.npy", np.array([[0, 0, 0], [1, 0, 1]]))
    infected, normal = read_source("covid-ct-md", tmp_path)
    assert (infected.group, infected.infected, infected.split) == ("P001", True, "test")
    assert infected.slice_labels == (True, False, True)
    assert (normal.infected, normal.split, normal.slice_labels) == (False, "train", None)
    assert normal.path.parent.name == "Normal subjects", "the repository has every slice"


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
def test_files_and_splits_of_the_real_sources_are_there(name: str, shared_data: Path) -> None:
    splits = defaultdict(set)
    records = read_source(name, shared_data)
    for record in records:
        splits[record.group].add(record.split)
        assert record.split in ("train", "val", "test")
        assert record.path.exists()
        assert record.mask is None or record.mask.exists()
    assert [group for group, found in splits.items() if len(found) > 1] == []
    assert len({record.path for record in records}) == len(records)


def test_no_real_patient_lies_in_two_splits_of_whatever_folders(shared_data: Path) -> None:
    splits = defaultdict(set)
    for name, source in SOURCES.items():
        for record in read_source(name, shared_data):
            splits[source.patient(record)].add(record.split)
    assert [patient for patient, found in splits.items() if len(found) > 1] == []
    series = {r.group for name in ("coronacases", "medseg-radiopaedia") for r in read_source(name, shared_data)}
    assert len(series) == 14


def test_the_two_forms_of_one_set_are_split_alike(shared_data: Path) -> None:
    first, second = (
        {record.group: record.split for record in read_source(name, shared_data)}
        for name in ("covid-19-ct100", "covid-semiseg")
    )
    assert {group: split for group, split in first.items() if group in second} == second
    assert Counter(second.values()) == {"train": 42, "val": 8, "test": 48}
