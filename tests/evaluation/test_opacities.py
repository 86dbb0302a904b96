"""Counts, positions and sizes of opacities, on masks drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.opacities import Opacity, opacities, share_of_lung, spread


def test_each_piece_is_an_opacity_with_its_box_and_centre() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:4, 5:10] = True
    mask[4, 10] = True  # touches the first by a corner only, so it is another
    first, second = opacities(mask)
    assert first == Opacity(10, pytest.approx(7.5 / 20), pytest.approx(3 / 10), 5, 2)  # type: ignore[arg-type]
    assert (second.area, second.width, second.height) == (1, 1, 1)


def test_the_area_is_the_marked_pixels_and_not_the_box() -> None:
    ring = np.ones((5, 5), bool)
    ring[1:4, 1:4] = False
    (one,) = opacities(ring)
    assert (one.area, one.width, one.height, one.x, one.y) == (16, 5, 5, 0.5, 0.5)


def test_an_empty_mask_has_none() -> None:
    assert opacities(np.zeros((4, 4), bool)) == ()


def test_the_share_is_of_the_lung_with_its_opacities() -> None:
    lungs, mask = np.zeros((2, 4, 5), bool)
    lungs[:2], mask[1:3] = True, True
    assert share_of_lung(mask, lungs) == pytest.approx(10 / 15)
    assert share_of_lung(~lungs & False, lungs & False) == 0


def test_spread_by_hand() -> None:
    assert spread([4, 1, 2, 3, 10]) == {
        "count": 5, "mean": 4.0, "min": 1.0, "q25": 2.0, "median": 3.0, "q75": 4.0, "max": 10.0
    }  # fmt: skip
    assert spread([]) is None
