"""Maps against masks, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.localisation import localisation
from jcs_ct.evaluation.metrics import THRESHOLDS


def quarter() -> np.ndarray:
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = True
    return mask


def test_a_map_that_is_the_mask_is_perfect() -> None:
    found = localisation([quarter() * 7.0], [quarter()])
    assert found.pointing_game == 1
    assert found.energy[0] == pytest.approx(1)
    assert found.times_chance == pytest.approx(4)
    assert found.best[1] == pytest.approx(1)


def test_a_map_that_is_the_same_everywhere_is_at_chance() -> None:
    found = localisation([np.ones((8, 8))], [quarter()])
    assert found.times_chance == pytest.approx(1)
    assert found.best[1] == pytest.approx(2 * 16 / (16 + 64))


def test_the_strongest_place_decides_the_game_and_the_scale_does_not() -> None:
    beside = quarter() * 1.0
    beside[7, 7] = 1.5
    found = localisation([beside, 1000 * beside], [quarter(), quarter()])
    assert found.hits.tolist() == [False, False]
    assert found.energy == pytest.approx([16 / 17.5] * 2)
    # Above two thirds of the largest value the quarter itself is gone, and only the wrong place is left.
    assert found.dice[0][THRESHOLDS.index(0.6)] == pytest.approx(2 * 16 / 33)
    assert found.dice[0][THRESHOLDS.index(0.7)] == 0


def test_an_empty_map_points_nowhere() -> None:
    found = localisation([np.zeros((8, 8))], [quarter()])
    assert found.pointing_game == 0
    assert found.energy[0] == 0
    assert found.best[1] == 0


@pytest.mark.parametrize("mask", [np.zeros((8, 8), bool), np.ones((4, 8), bool)])
def test_a_mask_that_cannot_be_held_against_a_map_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a mask"):
        localisation([np.ones((8, 8))], [mask])
