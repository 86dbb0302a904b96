"""The loss of PoolNet, and edges of masks, against cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.poolnet import edges_of, loss


def square(side: int = 8, start: int = 2, stop: int = 6) -> Tensor:
    """(1, 1, side, side) with a square lesion."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., start:stop, start:stop] = 1
    return mask


def zeros(*sides: int) -> list[Tensor]:
    return [torch.zeros(1, 1, side, side, requires_grad=True) for side in sides]


def test_edges_are_the_outermost_pixels_of_the_lesion() -> None:
    expected = square()
    expected[..., 3:5, 3:5] = 0
    assert torch.equal(edges_of(square()), expected)
    assert torch.equal(edges_of(0.3 * square()), torch.zeros(1, 1, 8, 8))  # less than half a pixel is no lesion
    assert torch.equal(edges_of(0.5 * square()), expected)


def test_a_single_pixel_is_its_own_edge() -> None:
    assert torch.equal(edges_of(square(start=3, stop=4)), square(start=3, stop=4))


def test_the_pictures_border_is_no_edge() -> None:
    assert not edges_of(torch.ones(1, 1, 8, 8)).any()
    expected = torch.zeros(1, 1, 8, 8)
    expected[..., 3, :4] = expected[..., :4, 3] = 1
    assert torch.equal(edges_of(square(start=0, stop=4)), expected)


def test_without_edges_it_is_the_cross_entropy_of_the_mask_alone() -> None:
    logits = torch.randn(1, 1, 8, 8)
    expected = F.binary_cross_entropy_with_logits(logits, square())
    torch.testing.assert_close(loss(Segmentation(logits, [torch.randn(1, 1, 4, 4)]), square()), expected)


def test_four_edge_outputs_by_hand() -> None:
    # 12 of 64 pixels are edge. All logits 0: 12 times 52/64 and 52 times 1.1 · 12/64, each log 2, over 64 pixels.
    output = Segmentation(zeros(8)[0], zeros(4), zeros(8, 4, 2, 1))
    balanced = (12 * 52 / 64 + 52 * 1.1 * 12 / 64) / 64
    assert float(loss(output, square()).detach()) == pytest.approx((1 + 4 * balanced) * math.log(2), rel=1e-6)


def test_every_edge_output_learns() -> None:
    output = Segmentation(zeros(8)[0], zeros(4), zeros(8, 4, 2, 1))
    gradients = torch.autograd.grad(loss(output, square()), [output.logits, *output.edge_logits])
    assert all(bool(gradient.any()) for gradient in gradients)


def test_a_slice_without_lesion_learns_to_have_no_edges_from_the_batch() -> None:
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    target = torch.cat([square(), torch.zeros(1, 1, 8, 8)])
    (gradient,) = torch.autograd.grad(loss(Segmentation(torch.zeros(2, 1, 8, 8), [], [logits]), target), logits)
    assert bool((gradient[1] > 0).all())


def test_a_batch_without_lesions_has_a_finite_loss() -> None:
    output = Segmentation(zeros(8)[0], zeros(4), zeros(8, 4, 2, 1))
    assert float(loss(output, torch.zeros(1, 1, 8, 8)).detach()) == pytest.approx(math.log(2), rel=1e-6)
