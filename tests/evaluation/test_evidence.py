"""Slice evidence: what it is made of, and that it learns which figure tells."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.evidence import MOST_MARGIN, PREVALENCE, SliceEvidence, fit_evidence, marked_share


def test_the_share_counts_what_is_marked_inside_the_region_alone() -> None:
    probability = np.zeros((1, 10, 20), np.float32)
    probability[0, :5, :10] = 0.8
    region = np.zeros((1, 10, 20), bool)
    region[0, :, 5:15] = True
    assert marked_share(probability, region) == pytest.approx([0.25])


def test_a_slice_without_lung_has_no_share() -> None:
    assert marked_share(np.ones((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool)).tolist() == [0.0]


def test_no_slices_give_no_evidence() -> None:
    found = marked_share(np.zeros((0, 4, 4), np.float32), np.zeros((0, 4, 4), bool))
    assert SliceEvidence(1, 1, 0).apply(np.zeros(0), found).shape == (0,)


def test_more_of_either_figure_is_more_suspicious() -> None:
    evidence = SliceEvidence(0.3, 1.5, -3.0)
    low, high = evidence.apply(np.zeros(2), np.array([0.0, 0.1]))
    assert low < 0.1 < 0.9 < high
    low, high = evidence.apply(np.array([-2.0, 2.0]), np.array([0.02, 0.02]))
    assert low < high


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        SliceEvidence(-0.1, 1.0, 0.0)


def test_the_figure_that_tells_gets_the_weight() -> None:
    random = np.random.default_rng(0)
    positive = np.arange(200) % 2 == 1
    shares = np.where(positive, 0.08, 0.0)
    evidence = fit_evidence(random.normal(size=200), shares, positive, np.arange(200))
    assert evidence.share > evidence.margin
    probability = evidence.apply(np.zeros(200), shares)
    assert probability[positive].min() > 0.8 > 0.2 > probability[~positive].max()


def test_the_bias_is_that_of_studies_in_which_infected_slices_are_fewer() -> None:
    random = np.random.default_rng(3)
    positive = np.arange(2000) % 2 == 1
    shares = np.where(random.random(2000) < 0.8, np.where(positive, 0.02, 0.001), np.where(positive, 0.001, 0.02))
    evidence = fit_evidence(np.zeros(2000), shares, positive, np.arange(2000))
    odds = PREVALENCE / (1 - PREVALENCE)
    told = evidence.apply(np.zeros(2), np.array([0.001, 0.02]))
    assert told == pytest.approx([0.25 * odds / (1 + 0.25 * odds), 4 * odds / (1 + 4 * odds)], abs=0.03)


def test_a_margin_that_separates_the_sources_at_hand_does_not_decide() -> None:
    positive = np.arange(100) % 2 == 1
    evidence = fit_evidence(np.where(positive, 3.0, -3.0), np.where(positive, 0.05, 0.0), positive, np.arange(100))
    assert evidence.margin <= MOST_MARGIN


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        fit_evidence(np.zeros(3), np.array([0.0, 0.1, 0.2]), np.ones(3, bool), np.arange(3))
