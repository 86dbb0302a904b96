"""Platt scaling against distributions whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from jcs_ct.evaluation.calibration import (
    PlattScaling,
    brier_score,
    cross_fitted,
    expected_calibration_error,
    fit_platt,
    reliability,
)


def test_fit_recovers_the_line_that_bent_the_probabilities() -> None:
    random = np.random.default_rng(0)
    logit = random.normal(0, 2, 20_000)
    positive = random.random(20_000) < special.expit(logit)
    bent = special.expit((logit - 0.7) / 1.6).astype(np.float32)
    scaling = fit_platt(bent, positive, np.arange(len(bent)))
    assert scaling.scale == pytest.approx(1.6, abs=0.06)
    assert scaling.bias == pytest.approx(0.7, abs=0.06)
    np.testing.assert_allclose(scaling.apply(bent), special.expit(logit), atol=0.02)


def test_order_of_slices_stays_and_extremes_stay_finite() -> None:
    probability = np.array([0.0, 0.2, 0.5, 0.9, 1.0], np.float32)
    calibrated = PlattScaling(1.3, -0.4).apply(probability)
    assert np.all(np.diff(calibrated) > 0)
    assert np.isfinite(calibrated).all()


def test_identity_changes_nothing() -> None:
    probability = np.array([0.1, 0.5, 0.8], np.float32)
    np.testing.assert_allclose(PlattScaling().apply(probability), probability, rtol=1e-5)


def test_one_class_alone_and_a_scale_that_turns_the_order_are_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        fit_platt(np.array([0.2, 0.4], np.float32), np.array([True, True]), np.arange(2))
    with pytest.raises(ValueError, match="positive scale"):
        PlattScaling(-1.0, 0.0)


def test_a_patient_of_many_slices_counts_as_one_of_few() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    positive = groups % 2 == 0
    probability = np.asarray(special.expit(random.normal(np.where(positive, 1, -1))), np.float32)
    once = fit_platt(probability, positive, groups)
    more = np.concatenate([np.arange(200), np.repeat(np.flatnonzero(groups == 0), 50)])  # one patient, 51 times
    assert fit_platt(probability[more], positive[more], groups[more]) == once
    each = fit_platt(probability[more], positive[more], np.arange(len(more)))
    assert abs(each.scale - once.scale) + abs(each.bias - once.bias) > 0.1


def test_cross_fitted_probabilities_do_not_know_their_own_patient() -> None:
    # One infected patient looks like nobody else: a scaling that saw it is less sure than one that did not.
    groups = np.repeat(np.arange(30), 4)
    positive = groups % 2 == 0
    logit = np.random.default_rng(0).normal(np.where(positive, 1.0, -1.0))
    logit[groups == 8] = -4
    probability = np.asarray(special.expit(logit), np.float32)
    without = groups != 8
    crossed = cross_fitted(probability, positive, groups)
    knowing = fit_platt(probability, positive, groups).apply(probability)
    unknowing = fit_platt(probability[without], positive[without], groups[without]).apply(probability)
    np.testing.assert_array_less(crossed[groups == 8], knowing[groups == 8])
    np.testing.assert_allclose(crossed[groups == 8], unknowing[groups == 8], atol=0.02)


def test_reliability_is_as_counted_by_hand() -> None:
    probability = np.array([0.1, 0.15, 0.85, 0.9, 1.0])
    positive = np.array([False, True, True, True, False])
    low, high = reliability(probability, positive, 5)  # the empty bins between them are left out
    assert (low.count, low.probability, low.share) == pytest.approx((2, 0.125, 0.5))
    assert (high.count, high.probability, high.share) == pytest.approx((3, 2.75 / 3, 2 / 3))
    error = (2 * (0.5 - 0.125) + 3 * (2.75 / 3 - 2 / 3)) / 5
    assert expected_calibration_error(probability, positive, 5) == pytest.approx(error)
    assert brier_score(probability, positive) == pytest.approx((0.01 + 0.85**2 + 0.15**2 + 0.01 + 1) / 5)


def test_calibrating_lessens_the_error() -> None:
    random = np.random.default_rng(0)
    truth = random.random(4000) < 0.5  # as common as the fit takes infected slices to be
    logit = 6 * (random.normal(size=4000) + np.where(truth, 1, -1))  # far too sure of itself
    probability = (1 / (1 + np.exp(-logit))).astype(np.float32)
    calibrated = fit_platt(probability[:2000], truth[:2000], np.arange(2000)).apply(probability[2000:])
    before = expected_calibration_error(probability[2000:], truth[2000:])
    after = expected_calibration_error(calibrated, truth[2000:])
    assert after < 0.03 < before
    assert brier_score(calibrated, truth[2000:]) < brier_score(probability[2000:], truth[2000:])
