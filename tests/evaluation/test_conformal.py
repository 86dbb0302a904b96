"""Thresholds of intervals against distributions whose quantiles are known."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.conformal import (
    AreaThresholds,
    area_above,
    covered,
    fit_area_thresholds,
    matching_levels,
)


def test_area_above_counts_what_is_strictly_above() -> None:
    above = area_above(np.array([[0, 10, 10], [200, 255, 9]], np.uint8))
    assert len(above) == 256
    assert [int(above[level]) for level in (0, 9, 10, 199, 200, 254, 255)] == [5, 4, 2, 2, 1, 1, 0]


def test_matching_levels_are_where_the_network_marks_as_much_as_the_reader() -> None:
    above = area_above(np.arange(256, dtype=np.uint8))  # 255 − level pixels lie above a level
    assert matching_levels(above, 100) == (155, 155)
    coarse = area_above(np.repeat(np.array([0, 100, 200], np.uint8), 10))
    # 20 pixels up to level 99, 10 up to level 199: 15 are at least held up to the one, and at most from the other on.
    assert matching_levels(coarse, 15) == (99, 100)


def test_a_reader_who_outlines_more_than_the_network_sees_at_all_is_below_every_level() -> None:
    assert matching_levels(area_above(np.zeros(50, np.uint8)), 3) == (-1, 0)


def test_ends_are_the_corrected_quantiles() -> None:
    levels = np.stack([np.arange(1, 100), np.arange(1, 100) + 100], axis=1)  # 99 slices
    fitted = fit_area_thresholds(levels, 0.9)
    # ranks floor(100 · 0.05) = 5 and ceil(100 · 0.95) = 95
    assert fitted.levels == (5, 195)
    assert fitted.coverage == 0.9


def test_the_thresholds_of_a_good_segmenter_still_lie_around_a_half() -> None:
    fitted = fit_area_thresholds(np.full((40, 2), [200, 60]), 0.9)
    assert fitted.levels == (127, 128)
    assert fitted.lower <= 0.5 <= fitted.upper


def test_new_slices_of_the_same_kind_are_covered_as_often_as_wanted() -> None:
    random = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        levels = np.clip(random.normal(127, 40, 150), 0, 254).astype(int)
        fitted = fit_area_thresholds(np.stack([levels[:50], levels[:50] + 1], axis=1), 0.9)
        lower, upper = fitted.levels
        shares.append(np.mean((levels[50:] >= lower) & (levels[50:] + 1 <= upper)))
    assert 0.9 <= np.mean(shares) <= 0.94


def test_an_area_between_the_ends_is_covered() -> None:
    above = area_above(np.arange(256, dtype=np.uint8))
    thresholds = AreaThresholds(100 / 255, 200 / 255, 0.9)
    assert [covered(above, area, thresholds) for area in (54, 55, 155, 156)] == [False, True, True, False]


def test_too_few_slices_are_refused() -> None:
    with pytest.raises(ValueError, match="found 18 slices, expected at least 19"):
        fit_area_thresholds(np.full((18, 2), 127), 0.9)
    assert fit_area_thresholds(np.full((19, 2), 100), 0.9).levels[0] == 100


@pytest.mark.parametrize("values", [(0.6, 0.8, 0.9), (0.2, 0.4, 0.9), (-0.1, 0.8, 0.9), (0.2, 0.8, 1.0)])
def test_senseless_thresholds_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        AreaThresholds(*values)
