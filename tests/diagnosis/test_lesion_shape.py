"""Diameters and pleural distances against what a ruler gives."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.diagnosis.lesion_shape import axial_diameters, planar_diameters, pleural_distances
from jcs_ct.diagnosis.measured import HuBands
from tests.diagnosis.measuring import measure_mask
from tests.diagnosis.test_measure import geometry, study_of


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((1, 1), (0.7, 0.7), (0.7, 0.7)),
        ((1, 20), (1.0, 0.5), (10.0, 1.0)),
        ((30, 1), (1.0, 0.5), (30.0, 0.5)),
    ],
)
def test_lines_of_pixels_are_as_long_as_their_pixels(
    shape: tuple[int, int], spacing: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert planar_diameters(np.ones(shape, bool), spacing) == pytest.approx(expected)


def test_the_long_axis_of_a_rectangle_is_its_diagonal() -> None:
    # 40 x 30 mm: the diagonal is 50 mm; across it the rectangle extends 2 * 40 * 30 / 50 = 48 mm
    long_axis, across = planar_diameters(np.ones((80, 60), bool), (0.5, 0.5))
    assert long_axis == pytest.approx(50, abs=0.5)
    assert across == pytest.approx(48, abs=0.5)


@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0, 90.0])
@pytest.mark.parametrize("spacing", [(0.8, 0.8), (0.6, 1.1)])
def test_both_axes_of_a_turned_ellipse_are_found(angle: float, spacing: tuple[float, float]) -> None:
    turn = np.deg2rad(angle)
    y, x = np.mgrid[-60:61, -60:61] * np.array(spacing)[:, None, None]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    ellipse = (along / 22) ** 2 + (across / 9) ** 2 <= 1
    assert planar_diameters(ellipse, spacing) == pytest.approx((44, 18), abs=1.2)  # a pixel


def test_diameters_are_of_the_slice_where_the_opacity_is_longest() -> None:
    labels = np.zeros((4, 30, 30), np.uint16)
    labels[0, 5:7, 2:8] = 1
    labels[1, 5:8, 2:22] = 1
    labels[2, 5:25, 2:4] = 2
    found = axial_diameters(labels, 2, (1.0, 1.0))
    assert (found[1].index, found[2].index) == (1, 2)
    assert found[1].long_axis_mm == pytest.approx(20, abs=0.2)
    assert found[2].perpendicular_mm == pytest.approx(2, abs=1.1)


def test_distance_to_the_pleura_is_the_lung_in_between() -> None:
    lungs = np.zeros((3, 60, 60), bool)
    lungs[:, 10:50, 10:50] = True
    labels = np.zeros(lungs.shape, np.uint16)
    labels[0, 20:24, 15:30] = 1  # 5 pixels of 0.8 mm to the left, 10 of 1.5 mm upwards
    labels[1, 48:50, 30:34] = 2  # at the edge
    labels[1, 26:30, 26:30] = 3  # 16 pixels to the left, 20 to the right, 16 upwards, 20 downwards
    labels[2, 10:14, 30:40] = 1  # the nearest slice counts: here it touches
    distances = pleural_distances(labels, 3, lungs, (1.5, 0.8))
    assert distances[1:] == pytest.approx([0.0, 0.0, 16 * 0.8])
    labels[2] = 0
    assert pleural_distances(labels, 3, lungs, (1.5, 0.8))[1] == pytest.approx(5 * 0.8)


def test_a_round_opacity_in_a_round_lung() -> None:
    y, x = np.mgrid[-100:101, -100:101] * 0.7
    lung = np.hypot(x, y) <= 60
    labels = (np.hypot(x - 20, y - 15) <= 10).astype(np.uint16)  # centre 25 mm off: 60 - 25 - 10 remain
    assert pleural_distances(labels[None], 1, lung[None], (0.7, 0.7))[1] == pytest.approx(25, abs=1.0)


def test_a_hole_in_the_lungs_is_no_pleura_and_what_was_left_out_is_lung() -> None:
    lungs = np.zeros((1, 60, 60), bool)
    lungs[0, 10:50, 10:50] = True
    lungs[0, 30:33, 27:29] = False  # a vessel
    labels = np.zeros(lungs.shape, np.uint16)
    labels[0, 28:34, 30:36] = 1
    assert pleural_distances(labels, 1, lungs, (1.0, 1.0))[1] == pytest.approx(14)
    labels[0, 28:34, 48:54] = 1  # reaches beyond the mask
    assert pleural_distances(labels, 1, lungs, (1.0, 1.0))[1] == 0


def test_a_lung_that_fills_the_picture_shows_no_pleura() -> None:
    labels = np.zeros((1, 20, 20), np.uint16)
    labels[0, 8:12, 8:12] = 1
    full = np.ones(labels.shape, bool)
    assert np.isinf(pleural_distances(labels, 1, full, (1.0, 1.0))[1])
    study = study_of(np.zeros(full.shape, np.int16), geometry(np.array([0.0]), (1.0, 1.0)))
    assert measure_mask(labels > 0, None, full, study)[1] == ()  # 0.016 mL: too small
    labels[0, 4:16, 4:16] = 1
    (lesion,) = measure_mask(labels > 0, None, full, study)[1]
    assert lesion.pleural_distance_mm is None
    assert lesion.long_axis_mm == pytest.approx(12 * 2**0.5, abs=0.8)


def test_hu_bands_are_shares_by_aeration_weighted_with_the_slices() -> None:
    mask = np.zeros((3, 20, 20), bool)
    mask[:, 5:15, 5:15] = True
    voxels = np.full(mask.shape, 40, np.int16)
    voxels[0, 5:15, 5:15] = -700
    voxels[1, 5:10, 5:15], voxels[1, 10:15, 5:15] = -500, -101
    voxels[2, 5, 5:15], voxels[2, 6, 5:15], voxels[2, 7, 5:15] = -901, -100, 101
    # the slices stand for 1, 1.5 and 2 mm
    where = geometry(np.array([0.0, 1.0, 3.0]), (1.0, 1.0))
    assert where.slice_extents.tolist() == pytest.approx([1.0, 1.5, 1.75])
    _, (lesion,), measures = measure_mask(mask, None, mask, study_of(voxels, where))
    thin = 1.75 / 4.25 / 10
    expected = HuBands(thin, 1 / 4.25, 1.5 / 4.25, 8 * thin, thin)
    assert lesion.hu_bands is not None
    for bands in (lesion.hu_bands, measures.hu_bands):
        assert bands is not None
        assert vars(bands) == pytest.approx(vars(expected))
