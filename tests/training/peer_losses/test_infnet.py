"""Inf-Net's loss against cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.infnet import loss

SURE = 30.0
"""A logit whose sigmoid is 1 to within 1e-13."""


def square(side: int = 64, pixels: int = 20) -> Tensor:
    """(1, 1, side, side) with a square lesion in its middle."""
    mask = torch.zeros(1, 1, side, side)
    start = (side - pixels) // 2
    mask[..., start : start + pixels, start : start + pixels] = 1
    return mask


def outline(side: int = 64, pixels: int = 20) -> Tensor:
    """Of the square: one pixel outside and one inside."""
    return square(side, pixels + 2) - square(side, pixels - 2)


def sure(mask: Tensor) -> Tensor:
    return SURE * (2 * mask - 1)


def output(side_logits: list[Tensor], edge_logits: Tensor) -> Segmentation:
    return Segmentation(side_logits[0], side_logits, [edge_logits])


def test_perfect_maps_and_edges_cost_nothing() -> None:
    assert float(loss(output([sure(square())] * 4, sure(outline())), square())) == pytest.approx(0, abs=1e-5)


def test_an_empty_prediction_of_an_empty_mask_costs_nothing() -> None:
    empty = torch.zeros(1, 1, 64, 64)
    assert float(loss(output([sure(empty)] * 4, sure(empty)), empty)) == pytest.approx(0, abs=1e-6)


def test_undecided_maps_of_an_empty_mask_by_hand() -> None:
    # Every weight is 1 and every p 1/2: BCE = log 2, IoU = (0 + 1)/(32 + 1) with 64 pixels; edges cost log 2 as well.
    empty = torch.zeros(1, 1, 8, 8)
    expected = 4 * (math.log(2) + 1 - 1 / 33) + math.log(2)
    assert float(loss(output([empty] * 4, empty), empty)) == pytest.approx(expected, rel=1e-5)


def test_one_wrong_pixel_by_hand() -> None:
    # A lesion of one pixel, missed: its weight is 1 + 5·(1 − 1/961); 960 pixels of weight 1 + 5/961 lie about it, the
    # rest of the 64·64 weigh 1. Nothing is predicted, so the IoU is 1/(weight + 1).
    mask = square(pixels=2)
    mask[..., 32, :] = 0
    mask[..., 32] = 0
    assert float(mask.sum()) == 1
    own = 1 + 5 * 960 / 961
    weights = own + 960 * (1 + 5 / 961) + (64 * 64 - 961)
    edge = torch.zeros(1, 1, 64, 64)
    edge[..., 30:33, 30:33] = 1  # eroded to nothing
    found = float(loss(output([sure(torch.zeros_like(mask))], sure(edge)), mask))
    assert found == pytest.approx(own * SURE / weights + 1 - 1 / (own + 1), rel=1e-4)


def test_errors_at_the_border_cost_more_than_far_away() -> None:
    near, far = square(), square()
    near[..., 32, 42] = 1  # touches the lesion
    far[..., 2, 2] = 1
    costs = [float(loss(output([sure(wrong)], sure(outline())), square())) for wrong in (near, far)]
    assert costs[0] > 1.5 * costs[1] > 0


def test_edges_are_the_outline_not_the_mask() -> None:
    wrong = float((square() - outline()).abs().mean()) * SURE
    found = float(loss(output([sure(square())], sure(square())), square()))
    assert found == pytest.approx(wrong, rel=1e-4)


def test_the_loss_is_per_image_then_the_mean() -> None:
    masks = torch.cat([square(), square(pixels=4)])
    side, edge = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 16, 16)
    each = [float(loss(output([side[k : k + 1]], edge[k : k + 1]), masks[k : k + 1])) for k in range(2)]
    assert float(loss(output([side], edge), masks)) == pytest.approx(sum(each) / 2, rel=1e-5)
