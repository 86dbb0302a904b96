"""Metrics against values worked out by hand and against scikit-learn's and torchmetrics'."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_auroc

from jcs_ct.evaluation.calibration import expected_calibration_error
from jcs_ct.evaluation.metrics import (
    auc_interval,
    bootstrap_interval,
    dice_per_image,
    pooled_dice,
    roc_auc,
    sensitivity_specificity,
)


def masks(*filled: int) -> NDArray[np.bool_]:
    """(N, 2, 5): the first so many pixels of each image are True."""
    return np.array([np.arange(10) < count for count in filled]).reshape(-1, 2, 5)


def test_dice_per_image_by_hand_is_the_same_in_numpy_and_torch() -> None:
    predicted, truth = masks(4, 0, 10, 3, 0), masks(6, 0, 10, 0, 5)
    expected = [8 / 10, 1, 1, 0, 0]  # nothing found of nothing is right; anything found of nothing is wrong
    np.testing.assert_allclose(dice_per_image(predicted, truth), expected)
    found = dice_per_image(torch.from_numpy(predicted)[:, None], torch.from_numpy(truth)[:, None])
    torch.testing.assert_close(found, torch.tensor(expected))


def test_pooled_dice_counts_pixels_and_not_images() -> None:
    predicted, truth = masks(4, 0, 10), masks(6, 2, 10)
    overlaps, totals = (predicted & truth).sum((1, 2)), predicted.sum((1, 2)) + truth.sum((1, 2))
    assert pooled_dice(overlaps.tolist(), totals.tolist()) == pytest.approx(2 * 14 / 32)
    assert float(dice_per_image(predicted, truth).mean()) == pytest.approx((0.8 + 0 + 1) / 3)
    assert pooled_dice([0], [0]) == 1


def test_auc_is_the_share_of_pairs_in_order_with_ties_half() -> None:
    positive = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    score = np.array([0.9, 0.5, 0.2, 0.5, 0.5, 0.1, 0.2])
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in itertools.product(score[positive], score[~positive])]
    assert roc_auc(positive, score) == pytest.approx(sum(pairs) / 12)


@pytest.mark.parametrize("levels", [4, 1000])
def test_auc_agrees_with_other_libraries(levels: int) -> None:
    random = np.random.default_rng(0)
    positive = random.random(300) < 0.3
    score = np.round((random.random(300) + 0.3 * positive) * levels) / levels
    own = roc_auc(positive, score)
    assert own == pytest.approx(roc_auc_score(positive, score))
    # Its scores must be probabilities; ranks are the same.
    theirs = binary_auroc(torch.from_numpy(score / 2), torch.from_numpy(positive.astype(np.int64)))
    assert own == pytest.approx(float(theirs), abs=1e-6)


def test_auc_of_one_class_is_not_defined() -> None:
    assert roc_auc(np.ones(3, bool), np.arange(3.0)) is None
    assert roc_auc(np.zeros(3, bool), np.arange(3.0)) is None


def test_sensitivity_and_specificity_by_hand() -> None:
    positive = np.array([1, 1, 1, 1, 0, 0, 0], bool)
    called = np.array([1, 1, 1, 0, 1, 0, 0], bool)
    assert sensitivity_specificity(positive, called) == pytest.approx((0.75, 2 / 3))
    sensitivity, specificity = sensitivity_specificity(np.ones(2, bool), np.array([True, False]))
    assert sensitivity == 0.5
    assert math.isnan(specificity)


def test_bootstrap_interval_holds_the_figure_and_repeats() -> None:
    values = np.random.default_rng(0).normal(5, 2, 200)
    groups = np.arange(200)

    def mean(chosen: NDArray[np.int64]) -> float:
        return float(values[chosen].mean())

    low, high = bootstrap_interval(mean, groups)
    assert low < values.mean() < high
    # A mean's interval is known: 1.96 standard errors each way.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.1)
    assert bootstrap_interval(mean, groups) == (low, high)
    assert bootstrap_interval(mean, groups, seed=1) != (low, high)
    narrow = bootstrap_interval(mean, groups, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_draws_whole_patients() -> None:
    groups = np.array(["a", "a", "a", "b", "c", "c"])
    drawn: list[list[int]] = []

    def note(chosen: NDArray[np.int64]) -> float:
        drawn.append(chosen.tolist())
        return 0.0

    bootstrap_interval(note, groups, draws=50)
    for chosen in drawn:
        counts = [chosen.count(member) for member in range(6)]
        assert counts[0] == counts[1] == counts[2]
        assert counts[4] == counts[5]
        assert counts[0] + counts[3] + counts[4] == 3  # as many patients as there are


def test_bootstrap_over_patients_is_wider_than_over_slices() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0, 1, 10), 20)  # slices of one patient are alike

    def mean(chosen: NDArray[np.int64]) -> float:
        return float(values[chosen].mean())

    patients = bootstrap_interval(mean, np.repeat(np.arange(10), 20))
    slices = bootstrap_interval(mean, np.arange(200))
    assert patients[1] - patients[0] > 3 * (slices[1] - slices[0])


def test_draws_on_which_a_figure_is_not_defined_are_left_out() -> None:
    positive = np.array([True, False, False])
    low, high = bootstrap_interval(lambda chosen: roc_auc(positive[chosen], chosen.astype(float)), np.arange(3))
    assert (low, high) == (0.0, 0.0)
    assert all(math.isnan(bound) for bound in bootstrap_interval(lambda _: None, np.arange(3), draws=5))


def test_the_interval_of_an_auc_is_that_of_whole_patients() -> None:
    positive = np.repeat([True, False], 20)
    score = np.concatenate([np.linspace(0, 1, 20), np.linspace(-0.5, 0.5, 20)])
    groups = np.arange(40)
    low, high = auc_interval(positive, score, groups)
    assert low < (roc_auc(positive, score) or 0) < high
    assert (low, high) == bootstrap_interval(lambda k: roc_auc(positive[k], score[k]), groups)
    assert auc_interval(positive, score, groups // 10)[0] < low, "four patients tell less than forty"


def test_a_centred_interval_holds_the_calibration_error_that_a_plain_one_can_miss() -> None:
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), 30)
    positive = np.repeat(random.random(12) < 0.5, 30)
    probability = np.full(len(groups), 0.5, np.float32)  # as calibrated as twelve patients can be

    def error(chosen: NDArray[np.int64]) -> float:
        return expected_calibration_error(probability[chosen], positive[chosen])

    itself = error(np.arange(len(groups)))
    plain, centred = (bootstrap_interval(error, groups, centred=each) for each in (False, True))
    assert 0 <= centred[0] <= itself < centred[1]
    assert centred[1] < plain[1], "draws repeat patients, which raises the error"
    shifts = [a - b for a, b in zip(plain, centred, strict=True) if b > 0]
    assert len({round(shift, 9) for shift in shifts}) == 1
    mean = bootstrap_interval(lambda chosen: float(positive[chosen].mean()), groups)
    assert bootstrap_interval(lambda chosen: float(positive[chosen].mean()), groups, centred=True) == pytest.approx(
        mean, abs=0.02
    ), "a figure without bias keeps its interval"
