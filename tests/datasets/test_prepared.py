"""Slices in the one form: what training and evaluation see is what diagnosing sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jcs_ct.datasets.normalized import normalize_slice
from jcs_ct.datasets.prepared import EMPTY_MASK, NO_MASK, READER_MASK, PreparedSlices, prepare
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError
from jcs_ct.preprocessing import window_hu
from tests.mini_data import write_mini_data
from tests.phantoms import ChestPhantom, to_grey

SIZE = (64, 80)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def prepared(data: Path) -> PreparedSlices:
    return prepare(["covid-19-ct100", "sars-cov-2-ct"], data, SIZE)


def written(folder: Path, turns: int = 0) -> tuple[SliceRecord, ChestPhantom]:
    """One infected slice with its mask, turned clockwise by quarters."""
    phantom = ChestPhantom.infected(shape=(9, 160, 160), spacing=(8.0, 2.1, 2.1), noise=10.0)
    for name, image in (("image", to_grey(phantom.hu[4])), ("mask", phantom.lesion_mask[4].astype(np.uint8))):
        Image.fromarray(np.rot90(image, -turns)).save(folder / f"{name}.png")
    return SliceRecord("x", folder / "image.png", "test", True, "p", folder / "mask.png", quarter_turns=turns), phantom


def test_everything_has_one_size_and_its_kind_of_mask(prepared: PreparedSlices) -> None:
    assert len(prepared) == 19
    for stack in (prepared.images, prepared.masks, prepared.lung_masks):
        assert stack.shape == (19, *SIZE)
    for record, kind, infected, mask in zip(
        prepared.records, prepared.mask_kinds, prepared.infected, prepared.masks, strict=True
    ):
        expected = READER_MASK if record.mask else NO_MASK if record.infected else EMPTY_MASK
        assert kind == expected
        assert infected == int(bool(record.infected))
        assert bool(mask.any()) == (expected == READER_MASK)


def test_subsets_keep_columns_together(prepared: PreparedSlices) -> None:
    part = prepared.split("val").of_source("sars-cov-2-ct")
    assert {(record.split, record.source) for record in part.records} == {("val", "sars-cov-2-ct")}
    assert len(part) == len(part.images) == len(part.mask_kinds) == len(part.infected) == 4
    where = [k for k, record in enumerate(prepared.records) if record in part.records]
    np.testing.assert_array_equal(part.images, prepared.images[where])


def test_a_grey_slice_comes_to_the_scale_of_hu_with_its_lungs_and_mask(tmp_path: Path) -> None:
    record, phantom = written(tmp_path)
    normal = normalize_slice(record, SIZE)
    assert normal.mask is not None
    np.testing.assert_array_equal(normal.mask, phantom.lesion_mask[4])
    overlap = (normal.lungs & phantom.lung_mask[4]).sum() / (normal.lungs | phantom.lung_mask[4]).sum()
    assert overlap > 0.9
    expected = window_hu(phantom.hu[4]).astype(float)
    lung = phantom.lung_mask[4]
    assert np.abs(normal.image.astype(float) - expected)[lung].mean() < 8
    assert normal.box.height / normal.box.width == pytest.approx(SIZE[0] / SIZE[1], rel=0.03)


def test_a_slice_that_is_known_to_be_turned_is_set_upright_with_its_mask(tmp_path: Path) -> None:
    (tmp_path / "turned").mkdir()
    upright, _ = written(tmp_path)
    turned, _ = written(tmp_path / "turned", turns=1)
    one, other = normalize_slice(upright, SIZE), normalize_slice(turned, SIZE)
    np.testing.assert_array_equal(one.image, other.image)
    assert one.mask is not None
    assert other.mask is not None
    np.testing.assert_array_equal(one.mask, other.mask)


def test_the_cache_gives_what_was_prepared(data: Path, prepared: PreparedSlices, tmp_path: Path) -> None:
    sources = ["covid-19-ct100", "sars-cov-2-ct"]
    prepare(sources, data, SIZE, tmp_path)
    stored = sorted(tmp_path.glob("slices-*.npz"))
    assert len(stored) == len(sources), "each source has its own file"
    when = [path.stat().st_mtime_ns for path in stored]
    again = prepare(sources, data, SIZE, tmp_path)
    assert [path.stat().st_mtime_ns for path in stored] == when
    for name in ("images", "masks", "lung_masks", "mask_kinds", "infected"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prepared, name))
    assert again.records == prepared.records


def test_another_size_is_another_cache(data: Path, tmp_path: Path) -> None:
    prepare(["covid-19-ct100"], data, SIZE, tmp_path)
    assert prepare(["covid-19-ct100"], data, (48, 64), tmp_path).images.shape[1:] == (48, 64)


def test_a_mask_of_another_size_is_a_data_error(tmp_path: Path) -> None:
    record, _ = written(tmp_path)
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"found size \(10, 12\), expected \(160, 160\)"):
        normalize_slice(record, SIZE)


def test_a_damaged_picture_is_a_data_error(tmp_path: Path) -> None:
    record, _ = written(tmp_path)
    record.path.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with pytest.raises(DataError, match=r"cannot read .*image\.png"):
        normalize_slice(record, SIZE)
