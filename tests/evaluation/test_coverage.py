"""Risk over coverage against curves worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.coverage import risk_coverage

WRONG = np.array([False, True, False, True])


def test_curve_and_area_are_as_counted_by_hand() -> None:
    curve = risk_coverage(WRONG, np.array([0.1, 0.9, 0.2, 0.3]))  # kept in the order right, right, wrong, wrong
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 0.5])
    assert curve.area == pytest.approx((1 / 3 + 0.5) / 4)
    assert curve.at(0.5) == 0
    assert curve.at(0.6) == pytest.approx(1 / 3)
    assert curve.at(1) == 0.5


def test_doubts_that_say_nothing_gain_nothing() -> None:
    curve = risk_coverage(WRONG, np.zeros(4))
    np.testing.assert_allclose(curve.risk, 0.5)
    assert curve.area == 0.5


def test_doubts_of_the_right_ones_cost() -> None:
    curve = risk_coverage(WRONG, np.array([0.9, 0.1, 0.8, 0.2]))
    np.testing.assert_allclose(curve.risk, [1, 1, 2 / 3, 0.5])


def test_order_of_the_answers_does_not_matter() -> None:
    random = np.random.default_rng(0)
    wrong, doubt = random.random(50) < 0.3, random.integers(0, 5, 50).astype(np.float32)
    order = random.permutation(50)
    np.testing.assert_allclose(
        risk_coverage(wrong, doubt).risk, risk_coverage(wrong[order], doubt[order]).risk, atol=1e-12
    )


def test_no_answers_have_no_curve() -> None:
    with pytest.raises(ValueError, match="at least one"):
        risk_coverage(np.empty(0, bool), np.empty(0))
