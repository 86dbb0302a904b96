"""Atypicality against distributions whose distances are known, and its shrinkage against scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from jcs_ct.evaluation.typicality import Levels, Typicality, fit_levels, fit_typicality

WIDTH = 12


def features(count: int, seed: int = 0) -> NDArray[np.float32]:
    """(N, 12): squares of correlated normal numbers far from zero, so that their roots are these numbers."""
    random = np.random.default_rng(seed)
    mixing = np.eye(WIDTH) + 0.5 * np.eye(WIDTH, k=1)
    return np.asarray((20 + random.normal(size=(count, WIDTH)) @ mixing) ** 2, np.float32)


def test_usual_slices_are_at_about_one_and_shifted_ones_farther() -> None:
    usual = fit_typicality(features(4000))
    held_out = features(1000, seed=1)
    assert np.median(usual.atypicality(held_out)) == pytest.approx(1, abs=0.05)
    shifted = (np.sqrt(held_out) + 3) ** 2
    assert usual.atypicality(shifted).min() > np.quantile(usual.atypicality(held_out), 0.95)


def test_a_change_that_never_occurs_counts_more_than_one_that_does() -> None:
    random = np.random.default_rng(0)
    roots = 20 + np.c_[random.normal(0, 3, 4000), random.normal(0, 0.1, 4000)]
    usual = fit_typicality(np.asarray(roots**2, np.float32))
    wide, narrow = usual.atypicality(np.array([[23.0, 20.0], [20.0, 23.0]], np.float32) ** 2)
    assert wide < 1.5
    assert narrow > 10


def test_distance_is_that_of_the_covariance_that_scikit_learn_shrinks() -> None:
    some, others = features(30), features(5, seed=1)  # few slices, so that it shrinks much
    roots = np.sqrt(some.astype(np.float64))
    covariance, _ = ledoit_wolf(roots)
    away = np.sqrt(others) - roots.mean(0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away) / WIDTH)
    np.testing.assert_allclose(fit_typicality(some).atypicality(others), expected, rtol=1e-3)


def test_features_that_never_vary_leave_the_distance_finite() -> None:
    usual = fit_typicality(np.ones((5, 3), np.float32))
    assert np.isfinite(usual.atypicality(np.array([[1, 1, 1], [2, 0, -1]], np.float32))).all()


def test_what_is_kept_gives_the_same_distance(tmp_path: Path) -> None:
    usual = fit_typicality(features(500))
    usual.save(tmp_path / "usual.npz")
    held_out = features(50, seed=1)
    kept = Typicality.load(tmp_path / "usual.npz").atypicality(held_out)
    # Roots about 20 in 16 bits are off by up to a hundredth of their spread.
    np.testing.assert_allclose(kept, usual.atypicality(held_out), rtol=0.03)


def test_levels_hold_the_promised_shares() -> None:
    levels = fit_levels(np.arange(1, 1001, dtype=np.float32))
    assert (levels.unusual, levels.limit) == pytest.approx((950, 990), abs=1)


def test_levels_and_slices_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="unusual <= limit"):
        Levels(2.0, 1.0)
    with pytest.raises(ValueError, match="at least two slices"):
        fit_typicality(features(1))
