"""Whole slices for the lung network: upright, with both lungs told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jcs_ct.datasets.whole_slices import LEFT, RIGHT, WholeSlices, prepare_whole, right_and_left
from jcs_ct.errors import DataError
from tests.mini_data import write_mini_data

SIDE = 64


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path) -> WholeSlices:
    return prepare_whole(["coronacases-masks"], data, SIDE)


def test_slices_are_upright_with_the_right_lung_on_the_left(whole: WholeSlices) -> None:
    assert len(whole) == 9
    assert whole.images.shape == whole.lungs.shape == whole.lesions.shape == (9, SIDE, SIDE)
    for image, lungs in zip(whole.images, whole.lungs, strict=True):
        right, left = (np.argwhere(lungs == side)[:, 1].mean() for side in (RIGHT, LEFT))
        assert right < SIDE / 2 < left
        assert image[lungs > 0].mean() < image[lungs == 0].max()


def test_lesions_lie_in_the_lungs_and_are_empty_where_none_was_outlined(whole: WholeSlices) -> None:
    assert not (whole.lesions & (whole.lungs == 0)).any()
    for record, lesion in zip(whole.records, whole.lesions, strict=True):
        assert bool(lesion.any()) <= (record.mask is not None)


def test_splits_keep_columns_together(whole: WholeSlices) -> None:
    part = whole.split("val")
    assert {record.group for record in part.records} == {"coronacases_003"}
    assert len(part.images) == len(part.lungs) == len(part.records) == 3


def test_the_cache_gives_what_was_prepared(data: Path, whole: WholeSlices, tmp_path: Path) -> None:
    prepare_whole(["coronacases-masks"], data, SIDE, tmp_path)
    again = prepare_whole(["coronacases-masks"], data, SIDE, tmp_path)
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.lungs, whole.lungs)


def test_a_source_without_lung_masks_is_a_data_error(data: Path) -> None:
    with pytest.raises(DataError, match="found no lung masks in sars-cov-2-ct"):
        prepare_whole(["sars-cov-2-ct"], data, SIDE)


def _lungs(*boxes: tuple[int, int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros((40, 60), bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_two_lungs_that_touch_are_divided_in_the_middle() -> None:
    found = right_and_left(_lungs((5, 35, 5, 25), (5, 35, 35, 55), (10, 12, 25, 35)))
    assert (found[20, 10], found[20, 50], found[0, 0]) == (RIGHT, LEFT, 0)


def test_a_lung_that_reaches_over_the_middle_keeps_its_side() -> None:
    found = right_and_left(_lungs((5, 35, 2, 33), (5, 35, 36, 58)))
    assert set(np.unique(found[:, :33])) == {0, RIGHT}
    assert set(np.unique(found[:, 36:])) == {0, LEFT}


def test_no_lungs_stay_none() -> None:
    assert not right_and_left(np.zeros((8, 8), bool)).any()
