"""EGNet's loss against cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.egnet import loss

SURE = 30.0
"""A logit whose sigmoid is 1 to within 1e-13."""


def square() -> Tensor:
    """(1, 1, 8, 8) with a 4×4 lesion in its corner."""
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :4] = 1
    return mask


def outline() -> Tensor:
    """Of the square: one pixel outside and one inside, none along the picture's own border."""
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., :5, :5] = 1
    edge[..., :3, :3] = 0
    return edge


def sure(mask: Tensor) -> Tensor:
    return SURE * (2 * mask - 1)


def output(side_logits: list[Tensor], edge_logits: Tensor) -> Segmentation:
    return Segmentation(side_logits[0], side_logits, [edge_logits])


def test_perfect_maps_and_edges_cost_nothing() -> None:
    found = loss(output([sure(square())] * 9, sure(outline())), square())
    assert float(found) == pytest.approx(0, abs=1e-6)


def test_every_undecided_map_costs_log_2() -> None:
    empty = torch.zeros(1, 1, 8, 8)
    assert float(loss(output([empty] * 9, empty), square())) == pytest.approx(10 * math.log(2), rel=1e-6)
    assert float(loss(output([sure(square())] * 9, empty), square())) == pytest.approx(math.log(2), rel=1e-6)


def test_edges_are_the_outline_not_the_mask() -> None:
    wrong = float((square() - outline()).abs().mean()) * SURE
    assert float(loss(output([sure(square())], sure(square())), square())) == pytest.approx(wrong, rel=1e-5)


def test_maps_are_brought_to_the_masks_size() -> None:
    small, edge = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 4, 4)
    expected = sum(
        float(F.binary_cross_entropy_with_logits(F.interpolate(logits, (8, 8), mode="bilinear"), target))
        for logits, target in ((small, square()), (edge, outline()))
    )
    assert float(loss(output([small], edge), square())) == pytest.approx(expected, rel=1e-5)
