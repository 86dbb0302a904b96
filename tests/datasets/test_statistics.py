"""What `jcs evaluate statistics` says of a data set, against what was drawn and against other ways of counting."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from skimage.measure import label

from jcs_ct.datasets.statistics import statistics
from tests import own_data
from tests.command_line import CommandLine
from tests.own_data import SHAPE, SPACING, Row
from tests.phantoms import write_dicom_series


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Four pictures of three patients: two opacities, one, none, and a picture that nobody has outlined."""
    folder = tmp_path / "drawn"
    rows = []
    for k, (patient, split, boxes) in enumerate(
        [("a", "train", [(2, 4, 10, 20), (10, 14, 30, 36)]), ("a", "train", [(0, 40, 0, 50)]), ("b", "val", []),
         ("c", "test", None)]
    ):  # fmt: skip
        own_data.save(folder / f"{k}.png", np.random.default_rng(k).integers(0, 255, (40, 50), np.uint8))
        mask = np.zeros((40, 50), np.uint8)
        for top, bottom, left, right in boxes or ():
            mask[top:bottom, left:right] = 255
        if boxes is not None:
            own_data.save(folder / f"mask{k}.png", mask)
        named = "" if boxes is None else f"mask{k}.png"
        rows.append(Row(f"{k}.png", patient, split, "1" if boxes else "" if boxes is None else "0", named))
    own_data.write_table(folder, rows)
    return folder


def test_what_was_drawn_is_counted(drawn: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "statistics", "--data", drawn, "--json")
    assert ended.code == 0, ended.err
    (found,) = json.loads(ended.out)
    counts = {name: found[name] for name in ("source", "patients", "pictures", "studies", "labels", "splits")}
    assert counts == {
        "source": "drawn",
        "patients": 3,
        "pictures": 4,
        "studies": 0,
        "labels": {"infected": 2, "uninfected": 1, "unknown": 1},
        "splits": {"train": 2, "val": 1, "test": 1},
    }
    assert (found["outlined_slices"], found["empty_masks"], found["opacities"]) == (2, 1, 3)
    assert found["opacities_per_slice"]["max"] == 2
    assert found["opacities_per_patient"]["mean"] == 3
    assert (found["area_px"]["min"], found["area_px"]["median"], found["area_px"]["max"]) == (20, 24, 2000)
    assert (found["width_px"]["min"], found["height_px"]["min"]) == (6, 2)
    assert found["centre_x"]["min"] == pytest.approx(15 / 50)
    assert found["area_mm2"] is None
    assert found["sex"] == {}


def test_one_split_alone_and_a_table_to_read(drawn: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "statistics", "--data", drawn, "--split", "val")
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[0] == "drawn:"
    assert {"pictures 1", "labels infected 0, uninfected 1, unknown 0", "empty_masks 1", "opacities 0"} <= set(lines)
    assert "has no slices in the split 'other'" in (
        jcs("evaluate", "statistics", "--data", drawn, "--split", "other").refusal()
    )


def test_figures_and_tables_are_written(drawn: Path, tmp_path: Path, jcs: CommandLine) -> None:
    out = tmp_path / "out"
    ended = jcs("evaluate", "statistics", "--data", drawn, "-o", out, "--json")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in out.iterdir()) == [
        "drawn-figure6.png", "drawn-figure8.png", "drawn-opacities.csv", "statistics.json"
    ]  # fmt: skip
    assert json.loads((out / "statistics.json").read_text()) == json.loads(ended.out)
    with (out / "drawn-opacities.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], row["patient"], row["split"], row["area_px"]) for row in rows] == [
        ("0.png", "a", "train", "20"), ("0.png", "a", "train", "24"), ("1.png", "a", "train", "2000")
    ]  # fmt: skip
    for name in ("drawn-figure6.png", "drawn-figure8.png"):
        with Image.open(out / name) as figure:
            blue = (np.asarray(figure.convert("RGB")).astype(int) * (-1, 0, 1)).sum(2) > 100
        assert blue.sum() > 500  # what is drawn is blue, axes and text are black


def test_studies_tell_millimetres_age_sex_and_thickness(tmp_path: Path, jcs: CommandLine) -> None:
    rows = own_data.write_studies(tmp_path / "mine")[:1]
    places = [SPACING[0] * z for z in range(SHAPE[0])]

    def edit(dataset: Dataset, index: int) -> None:
        del index
        dataset.PatientSex, dataset.PatientAge = "F", "057Y"

    for k in range(2):  # two studies of one patient
        write_dicom_series(
            tmp_path / "mine" / f"dicom{k}", own_data.patient(60, False)[0] + k, spacing=SPACING[1:], positions=places,
            edit=edit,
        )  # fmt: skip
        rows.append(Row(f"dicom{k}", "one patient", "train", "0"))
    own_data.write_table(tmp_path / "mine", rows)
    (found,) = statistics(tmp_path / "mine")
    said = found.as_dict()
    assert (said["studies"], said["patients"], said["sex"]) == (3, 2, {"F": 1})
    assert said["age"] == {"count": 1, "mean": 57, "min": 57, "q25": 57, "median": 57, "q75": 57, "max": 57}
    assert (said["slice_thickness_mm"]["count"], said["slice_thickness_mm"]["median"]) == (2, 5)
    truth = own_data.patient(50, True)[1]
    assert said["outlined_slices"] == truth.any((1, 2)).sum()
    assert said["outlined_slices"] + said["empty_masks"] == SHAPE[0]
    pixels, mm2 = (sum(one.area for one in found.opacities), said["area_mm2"])
    assert pixels == truth.sum()
    assert mm2["mean"] * mm2["count"] == pytest.approx(pixels * SPACING[1] * SPACING[2], rel=1e-4)
    ended = jcs("evaluate", "statistics", "--data", tmp_path / "mine", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "mine-figure7.png").stat().st_size > 5000


def test_a_folder_without_sources_is_refused(tmp_path: Path, jcs: CommandLine) -> None:
    assert (
        "found no data source, expected covid-19-ct100" in jcs("evaluate", "statistics", "--data", tmp_path).refusal()
    )


def test_public_masks_are_counted_as_another_library_counts_them(shared_data: Path) -> None:
    (found,) = statistics(shared_data / "covid-19-ct100")
    assert len(found.records) == 98
    expected = []
    for record in found.records:
        assert record.mask is not None
        with Image.open(record.mask) as mask:
            marked = np.asarray(mask.convert("L")) > 0
        expected.append(int(label(marked, connectivity=1).max()))  # type: ignore[no-untyped-call]
    assert [count for count in expected if count] == found.counts
    assert found.empty_slices == expected.count(0)


def test_public_labels_are_those_of_the_split_file(shared_data: Path) -> None:
    (found,) = statistics(shared_data / "sars-cov-2-ct", "test")
    with (shared_data / "sars-cov-2-ct" / "split.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    said = found.as_dict()
    assert said["labels"]["infected"] == sum(row["label"] == "covid" for row in rows)
    assert said["pictures"] == len(rows)
    assert said["patients"] == len({row["group"] for row in rows})
