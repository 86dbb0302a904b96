"""Slices that look the same are found whatever was done to them, and different patients are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jcs_ct.datasets.normalized import normalized
from jcs_ct.datasets.overlap import ALIKE, alike, pairs_across, refuse_overlap, thumbnails
from jcs_ct.datasets.prepared import PreparedSlices, prepare
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import OverlapError
from jcs_ct.preprocessing import crop_resize
from tests import own_data
from tests.own_data import Row

SIZE = (160, 208)


def one_picture(folder: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(folder / "images" / "p0-0.png"))


def with_copy(folder: Path, image: NDArray[np.uint8], split: str = "test") -> PreparedSlices:
    """Three patients, and a picture that bears another patient's name."""
    rows = [own_data.picture(folder, k, True, s) for k, s in ((0, "train"), (1, "val"), (2, "test"))]
    own_data.save(folder / "copy.png", image)
    own_data.write_table(folder, [*rows, Row("copy.png", "someone else", split, "1")])
    return prepare(["own"], folder, SIZE)


@pytest.fixture
def original(tmp_path: Path) -> NDArray[np.uint8]:
    own_data.picture(tmp_path, 0, True, "train")
    return one_picture(tmp_path)


def halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resized, and under another window."""
    small = Image.fromarray(image).resize((84, 84), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(small).astype(float) * 1.15 + 12, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: np.rot90(image), id="turned"),
        pytest.param(lambda image: image[:, ::-1], id="mirrored"),
        pytest.param(lambda image: np.pad(image, 20), id="padded"),
        pytest.param(halved, id="resized and brightened"),
    ],
)
def test_a_changed_copy_on_another_side_is_found(change: object, original: NDArray[np.uint8], tmp_path: Path) -> None:
    assert callable(change)
    slices = with_copy(tmp_path, np.ascontiguousarray(change(original)))
    (pair,) = pairs_across(slices)
    assert [slices.records[k].path.name for k in (pair.first, pair.second)] == ["copy.png", "p0-0.png"]
    assert pair.correlation > ALIKE


def test_a_copy_on_the_same_side_is_no_leak(original: NDArray[np.uint8], tmp_path: Path) -> None:
    assert pairs_across(with_copy(tmp_path, np.ascontiguousarray(original[:, ::-1]), "train")) == []


def test_the_refusal_names_the_pairs_and_draws_them(original: NDArray[np.uint8], tmp_path: Path) -> None:
    slices = with_copy(tmp_path, np.ascontiguousarray(original[:, ::-1]))
    sheet = tmp_path / "out" / "similar.png"
    with pytest.raises(OverlapError, match=r"1 pairs .*line 5: copy\.png \(test\) and .*line 2: p0-0\.png \(train\)"):
        refuse_overlap(slices, sheet, allowed=False)
    with Image.open(sheet) as drawn:
        assert drawn.size == (640, 254)
        assert np.asarray(drawn)[20:, :320].any()
        assert np.asarray(drawn)[20:, 320:].any()


def test_the_user_can_go_on_with_a_warning(
    original: NDArray[np.uint8], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_overlap(with_copy(tmp_path, np.ascontiguousarray(original[:, ::-1])), None, allowed=True)
    assert "near-identical" in caplog.text


def test_public_sources_alone_are_taken_as_documented(original: NDArray[np.uint8], tmp_path: Path) -> None:
    slices = with_copy(tmp_path, np.ascontiguousarray(original[:, ::-1]))
    public = [replace(record, own=False) for record in slices.records]
    slices.records[:] = public
    assert pairs_across(slices) == []
    slices.records[0] = replace(public[0], own=True)  # an own slice beside a public set that holds the same
    assert len(pairs_across(slices)) == 1


def test_many_slices_are_compared_in_parts() -> None:
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(n, 8, 8)).astype(np.float32) for n in (2500, 3))
    second[1] = np.rot90(first[2400])
    found = alike(first, second)
    assert [(pair.first, pair.second) for pair in found] == [(2400, 1)]


def test_the_two_forms_of_one_public_set_are_found(shared_data: Path) -> None:
    both = prepare(["covid-19-ct100", "covid-semiseg"], shared_data, (224, 288))
    first, second = both.of_source("covid-19-ct100"), both.of_source("covid-semiseg")
    found = alike(thumbnails(first), thumbnails(second))
    same = [pair for pair in found if first.records[pair.first].group == second.records[pair.second].group]
    assert len(same) > 80
    assert len(found) - len(same) < 10  # slices of the same patient beside each other, seen by eye


def test_slices_of_different_real_patients_are_not_alike(shared_data: Path) -> None:
    slices = prepare(["covid-19-ct100"], shared_data, (224, 288))
    some = sorted((shared_data / "mosmed-slices" / "covid").iterdir())[:60]
    others = prepare_pictures(some)
    assert alike(thumbnails(slices), thumbnails(others)) == []
    pairs = alike(thumbnails(others), thumbnails(others))
    assert all(pair.first == pair.second for pair in pairs)


def prepare_pictures(paths: list[Path]) -> PreparedSlices:
    records = [SliceRecord("mosmed-slices", path, "train", True, path.stem) for path in paths]
    parts = [one for _, one in normalized(records, (224, 288))]
    images = np.stack([crop_resize(one.image, one.box, (224, 288)) for one in parts])
    lungs = np.stack([crop_resize(one.lungs.astype(np.uint8) * 255, one.box, (224, 288)) > 127 for one in parts])
    none = np.zeros(len(parts), np.uint8)
    return PreparedSlices(images, np.zeros_like(images), none, lungs, none.astype(np.int8), records)
