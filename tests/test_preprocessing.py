"""Normalized slices from every source, and the way back to the voxel grid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.preprocessing import Box, GreyAnchors, bounding_box, crop_resize, network_box, paste_back
from tests.phantoms import BODY, CONSOLIDATION, GROUND_GLASS, LUNG, ChestPhantom, to_grey

WINDOWS = {
    "lung": (-600.0, 1500.0),
    "narrow": (-550.0, 1300.0),
    "wide": (-400.0, 1800.0),
    "very wide": (0.0, 3000.0),
}
"""Level and width in HU of windows that archives use."""


@pytest.mark.parametrize(
    ("hu", "stored"),
    [(-1000, 0), (-3024, 0), (200, 255), (3071, 255), (-400, 128), (-860, round(255 * 140 / 1200)), (40, 221)],
)
def test_hu_window_runs_from_minus_1000_to_200(hu: int, stored: int) -> None:
    assert preprocessing.window_hu(np.array([[hu]], np.int16)).tolist() == [[stored]]


def test_hu_window_loses_no_more_than_half_a_step() -> None:
    hu = np.arange(-1000, 201, dtype=np.int16)
    stored = preprocessing.window_hu(hu)
    assert stored.dtype == np.uint8
    assert np.abs(stored / 255 * 1200 - 1000 - hu).max() <= 0.5 * 1200 / 255 + 1e-6
    assert hu[0] == -1000  # the input is not written to


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
def test_anchors_recover_lung_and_tissue_under_any_window(window: tuple[float, float]) -> None:
    phantom = ChestPhantom.infected(noise=12.0)
    anchors = preprocessing.grey_anchors(to_grey(phantom.hu, window), np.ones(phantom.shape, bool))
    lung, tissue = to_grey(np.array([LUNG, BODY], np.int16), window)
    assert anchors.lung == pytest.approx(lung, abs=4)
    assert anchors.tissue == pytest.approx(tissue, abs=4)


def test_widespread_opacity_is_not_taken_for_aerated_lung() -> None:
    phantom = ChestPhantom.healthy(noise=12.0, shape=(1, 128, 128))
    opaque = phantom.lung_mask & (np.arange(128) >= 52)[:, None]
    assert opaque.sum() > 0.65 * phantom.lung_mask.sum()
    hu = np.where(opaque, phantom.hu + GROUND_GLASS - LUNG, phantom.hu)
    window = (-600.0, 1500.0)
    anchors = preprocessing.grey_anchors(to_grey(hu, window), np.ones(phantom.shape, bool))
    lung, opacity = to_grey(np.array([LUNG, GROUND_GLASS], np.int16), window)
    assert anchors.lung < lung + 0.25 * (opacity - lung)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
def test_grey_pictures_come_to_the_scale_of_hu(window: tuple[float, float]) -> None:
    phantom = ChestPhantom.infected(noise=8.0)
    grey = to_grey(phantom.hu, window)
    found = preprocessing.normalize_grey(grey, np.ones(grey.shape, bool)).astype(float)
    expected = preprocessing.window_hu(phantom.hu).astype(float)
    aerated = phantom.lung_mask & ~phantom.lesion_mask
    for where in (phantom.lesion_mask, aerated):
        assert found[where].mean() == pytest.approx(expected[where].mean(), abs=8)


def test_the_blank_surround_of_a_round_field_of_view_is_not_a_class_of_its_own() -> None:
    phantom = ChestPhantom.healthy(noise=8.0)
    grey = to_grey(phantom.hu, (0.0, 3000.0))
    y, x = np.ogrid[-1:1:128j, -1:1:128j]
    grey[:, x**2 + y**2 > 1] = 0
    anchors = preprocessing.grey_anchors(grey, np.ones(phantom.shape, bool))
    lung, tissue = to_grey(np.array([LUNG, BODY], np.int16), (0.0, 3000.0))
    assert anchors.lung == pytest.approx(lung, abs=4)
    assert anchors.tissue == pytest.approx(tissue, abs=4)


def test_padding_does_not_move_the_anchors() -> None:
    grey = to_grey(ChestPhantom.healthy(noise=8.0).hu)
    inside = np.zeros(grey.shape, bool)
    inside[:, 10:118, 4:124] = True
    expected = preprocessing.grey_anchors(grey[:, 10:118, 4:124], np.ones((40, 108, 120), bool))
    assert preprocessing.grey_anchors(np.where(inside, grey, 130).astype(np.uint8), inside) == expected


def test_anchors_map_their_levels_onto_the_scale() -> None:
    table = GreyAnchors(lung=50, tissue=200).apply(np.array([50, 200, 0, 255]))
    assert table[:2].tolist() == preprocessing.window_hu(np.array([-860, 40], np.int16)).tolist()
    assert table[2] < table[0] < table[1] < table[3]


def test_a_picture_of_one_grey_level_is_survived() -> None:
    flat = np.full((2, 64, 64), 77, np.uint8)
    assert preprocessing.normalize_grey(flat, np.ones(flat.shape, bool)).shape == flat.shape
    assert not np.isnan(preprocessing.grey_anchors(flat, np.ones(flat.shape, bool)).lung)


def test_otsu_divides_two_peaks() -> None:
    histogram = np.zeros(256)
    histogram[20:30], histogram[180:200] = 5, 3
    assert 29 <= preprocessing.otsu_threshold(histogram) < 180


def test_boxes_grow_to_an_aspect_without_losing_what_they_hold() -> None:
    box = Box(10, 30, 5, 65)
    tall = box.with_aspect(200, 100)
    assert (tall.height / tall.width, tall.left, tall.right) == (2, 5, 65)
    assert tall.top <= 10 < 30 <= tall.bottom
    assert abs((tall.top + tall.bottom) - 40) <= 1
    wide = box.with_aspect(10, 60)
    assert (wide.height, wide.width) == (20, 120)
    assert box.with_margin(0.1) == Box(8, 32, -1, 71)


def test_network_box_holds_the_lungs_with_a_margin_undistorted() -> None:
    lungs = Box(40, 90, 20, 110)
    box = network_box(lungs, (224, 288))
    assert box.top < 40 - 0.07 * 50
    assert box.right > 110 + 0.07 * 90
    assert box.height / box.width == pytest.approx(224 / 288, rel=0.02)


def test_bounding_box_of_nothing_is_none() -> None:
    mask = np.zeros((6, 7), bool)
    assert bounding_box(mask) is None
    mask[2, 3] = mask[4, 5] = True
    assert bounding_box(mask) == Box(2, 5, 3, 6)


def disc(centre: tuple[float, float], radius: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2)


@pytest.mark.parametrize("box", [Box(20, 100, 30, 130), Box(-15, 65, -25, 75), Box(60, 140, 90, 190)])
@pytest.mark.parametrize("size", [(160, 200), (40, 50)])
def test_there_and_back_again_keeps_places(box: Box, size: tuple[int, int]) -> None:
    shape = (120, 160)
    centre = (np.clip((box.top + box.bottom) / 2, 15, 105), np.clip((box.left + box.right) / 2, 15, 145))
    lesion = disc((float(centre[0]), float(centre[1])), 11, shape)
    patch = crop_resize(lesion.astype(np.uint8) * 255, box, size)
    assert patch.shape == size
    back = paste_back((patch / 255).astype(np.float32), box, shape) > 0.5
    assert (back & lesion).sum() / (back | lesion).sum() > 0.9
    assert back.sum() == pytest.approx(lesion.sum(), rel=0.06)


def test_outside_of_the_picture_there_is_air_and_nothing_is_written_outside_of_the_box() -> None:
    patch = crop_resize(np.full((20, 20), 200, np.uint8), Box(-20, 20, 0, 40), (40, 40))
    assert (patch[:18] == 0).all()
    assert (patch[22:, 22:] == 0).all()
    assert (patch[23:, :18] == 200).all()
    back = paste_back(np.ones((40, 40), np.float32), Box(10, 30, -10, 15), (20, 20))
    inside = np.zeros((20, 20), bool)
    inside[10:, :15] = True
    np.testing.assert_array_equal(back > 0, inside)


def test_a_box_that_misses_the_picture_gives_air_both_ways() -> None:
    box = Box(50, 60, 50, 60)
    assert not crop_resize(np.full((20, 20), 9, np.uint8), box, (8, 8)).any()
    assert not paste_back(np.ones((8, 8), np.float32), box, (20, 20)).any()


def test_consolidation_stays_apart_from_soft_tissue() -> None:
    stored = preprocessing.window_hu(np.array([CONSOLIDATION, BODY], np.int16)).astype(int)
    assert stored[1] - stored[0] >= 8
