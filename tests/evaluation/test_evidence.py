"""Slice evidence: what it is made of, and that it learns which figure tells."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.evidence import Burden, SliceEvidence, fit_evidence


def _burden(shares: list[float]) -> Burden:
    """Slices of 20 by 50 pixels, all lung, of which these shares are surely lesion."""
    probabilities = np.zeros((len(shares), 20, 50), np.float32)
    for own, share in zip(probabilities, shares, strict=True):
        own.reshape(-1)[: round(share * own.size)] = 0.9
    return Burden.of(probabilities, np.ones(probabilities.shape, bool))


def test_the_burden_counts_what_is_marked_inside_the_region_alone() -> None:
    probability = np.zeros((1, 10, 20), np.float32)
    probability[0, :5, :10] = 0.8
    region = np.zeros((1, 10, 20), bool)
    region[0, :, 5:15] = True
    found = Burden.of(probability, region)
    assert found.share[0] == pytest.approx(0.25)
    assert found.peak[0] == pytest.approx(0.8)


def test_a_slice_without_lung_has_no_burden() -> None:
    found = Burden.of(np.ones((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool))
    assert (found.share[0], found.peak[0]) == (0.0, 0.0)


def test_no_slices_give_no_evidence() -> None:
    found = Burden.of(np.zeros((0, 4, 4), np.float32), np.zeros((0, 4, 4), bool))
    assert SliceEvidence(1, 1, 1, 0).apply(np.zeros(0), found).shape == (0,)


def test_more_of_either_figure_is_more_suspicious() -> None:
    evidence = SliceEvidence(0.5, 1.0, 0.3, -3.0)
    low, high = evidence.apply(np.zeros(2), _burden([0.0, 0.1]))
    assert low < high
    low, high = evidence.apply(np.array([-2.0, 2.0]), _burden([0.02, 0.02]))
    assert low < high


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        SliceEvidence(-0.1, 1.0, 0.3, 0.0)


def test_the_figure_that_tells_gets_the_weight() -> None:
    random = np.random.default_rng(0)
    positive = np.arange(200) % 2 == 1
    burden = _burden([0.08 if one else 0.0 for one in positive])
    evidence = fit_evidence(random.normal(size=200), burden, positive, np.arange(200))
    assert evidence.share > evidence.margin
    probability = evidence.apply(np.zeros(200), burden)
    assert probability[positive].min() > 0.8 > 0.2 > probability[~positive].max()


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        fit_evidence(np.zeros(3), _burden([0.0, 0.1, 0.2]), np.ones(3, bool), np.arange(3))
