"""MiniSeg's loss against cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.miniseg import loss


def test_the_finest_output_counts_in_full_and_the_others_four_tenths_each() -> None:
    target = torch.zeros(2, 1, 8, 8)
    sides = [torch.full((2, 1, 8 // s, 8 // s), logit) for s, logit in ((1, 0.0), (2, 1.0), (4, -2.0), (8, 3.0))]
    costs = [math.log1p(math.exp(logit)) for logit in (0.0, 1.0, -2.0, 3.0)]
    expected = costs[0] + 0.4 * sum(costs[1:])
    assert float(loss(Segmentation(sides[0], sides), target)) == pytest.approx(expected, rel=1e-5)


def test_one_logit_costs_what_two_with_that_difference_cost() -> None:
    torch.manual_seed(0)
    pair, label = torch.randn(2, 2, 6, 6), torch.randint(0, 2, (2, 6, 6))
    logits = pair[:, 1:] - pair[:, :1]
    found = loss(Segmentation(logits, [logits, logits]), label[:, None].float())
    torch.testing.assert_close(found, 1.4 * F.cross_entropy(pair, label))


def test_a_perfect_mask_costs_nothing() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4] = 1
    logits = 40 * (2 * target - 1)
    assert float(loss(Segmentation(logits, [logits] * 4), target)) == pytest.approx(0, abs=1e-6)
