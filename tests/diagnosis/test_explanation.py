"""Where maps look, against phantoms whose shares are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.decision import ExplanationCheck
from jcs_ct.diagnosis.explanation import check_explanation, looks_elsewhere
from jcs_ct.notices import text
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import Study
from tests.diagnosis.test_measure import study_of

SIDE = 20
BOX = Box(0, SIDE, 0, SIDE)
ALL = np.arange(4)


def study(extents: NDArray[np.int64] | None = None) -> Study:
    return replace(study_of(np.zeros((4, SIDE, SIDE), np.uint8), None), extents=extents)


def lungs() -> NDArray[np.bool_]:
    """The left half of every slice: a chance of a half."""
    mask = np.zeros((4, SIDE, SIDE), bool)
    mask[:, :, : SIDE // 2] = True
    return mask


def labels() -> NDArray[np.uint16]:
    """An opacity in a tenth of every slice."""
    found = np.zeros((4, SIDE, SIDE), np.uint16)
    found[:, :, 2:4] = 1
    return found


def checked(activation: NDArray[np.uint8], infected: NDArray[np.int64] = ALL, box: Box = BOX) -> ExplanationCheck:
    check = check_explanation(activation, lungs(), labels(), infected, box, study())
    assert check is not None
    return check


def test_a_map_that_is_equal_everywhere_is_at_chance() -> None:
    check = checked(np.full((4, SIDE, SIDE), 90, np.uint8))
    assert (check.slices, check.in_lungs) == (4, 0.5)
    assert check.in_lesions == pytest.approx(0.1)
    assert check.times_chance_in_lungs == pytest.approx(1)
    assert check.times_chance_in_lesions == pytest.approx(1)
    assert looks_elsewhere(check) == ()


def test_a_map_in_the_opacities_explains_the_decision() -> None:
    check = checked(np.where(labels() > 0, 255, 0).astype(np.uint8))
    assert (check.in_lungs, check.in_lesions) == (1, 1)
    assert check.times_chance_in_lesions == pytest.approx(10)
    assert looks_elsewhere(check) == ()


def test_a_map_beside_the_lungs_is_told() -> None:
    check = checked(np.where(lungs(), 40, 160).astype(np.uint8))
    assert check.in_lungs == pytest.approx(0.2)
    (warning,) = looks_elsewhere(check)
    assert warning.code == "activation-outside-lungs"
    assert "only 20.0 % of the activation map lies in the lungs (chance: 50.0 %) on the 4 infected" in text(warning)


def test_a_map_in_the_lungs_but_beside_the_opacities_is_told() -> None:
    activation = np.where(lungs() & (labels() == 0), 200, 0).astype(np.uint8)
    (warning,) = looks_elsewhere(checked(activation))
    assert warning.code == "activation-outside-opacities"
    assert "only 0.0 % of the activation map lies in the outlined opacities" in text(warning)


def test_infected_slices_without_any_opacity_are_told() -> None:
    activation = np.full((4, SIDE, SIDE), 9, np.uint8)
    check = check_explanation(activation, lungs(), np.zeros_like(labels()), ALL, BOX, study())
    (warning,) = looks_elsewhere(check)
    assert text(warning) == "no opacity is outlined that would explain the 4 infected slices"


def test_only_infected_slices_count_and_each_counts_the_same() -> None:
    activation = np.zeros((4, SIDE, SIDE), np.uint8)
    activation[0] = np.where(lungs()[0], 10, 0)
    activation[1] = np.where(lungs()[1], 0, 250)
    assert checked(activation, np.array([0])).in_lungs == 1
    assert checked(activation, np.array([0, 1])).in_lungs == 0.5  # the stronger map does not outvote the other


def test_chance_is_of_what_the_network_saw() -> None:
    activation = np.full((4, SIDE, SIDE), 9, np.uint8)
    # The box ends in the middle of the picture and reaches beyond it on the other side.
    assert checked(activation, box=Box(-5, SIDE, -5, SIDE // 2)).chance_in_lungs == 1
    padded = study(np.array([[0, SIDE, 5, SIDE]] * 4))
    check = check_explanation(activation, lungs(), labels(), ALL, BOX, padded)
    assert check is not None
    assert check.chance_in_lungs == pytest.approx(5 / 15)


def test_without_infected_slices_or_with_empty_maps_nothing_is_checked() -> None:
    none = np.zeros(0, np.int64)
    assert check_explanation(np.full((4, SIDE, SIDE), 9, np.uint8), lungs(), labels(), none, BOX, study()) is None
    empty = np.zeros((4, SIDE, SIDE), np.uint8)
    assert check_explanation(empty, lungs(), labels(), ALL, BOX, study()) is None
    assert looks_elsewhere(None) == ()
