"""The loss of DSS against cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.dss import loss


def output(value: float = 0.0) -> Segmentation:
    """Logits of a picture of 32×32, all the same."""
    sides = [torch.full((2, 1, 32 // s, 32 // s), value, requires_grad=True) for s in (1, 2, 4, 8, 16, 32)]
    return Segmentation(torch.full((2, 1, 32, 32), value, requires_grad=True), sides)


def mask() -> Tensor:
    """(2, 1, 32, 32); the first slice has a lesion, the second none."""
    found = torch.zeros(2, 1, 32, 32)
    found[0, 0, 8:16, 8:24] = 1
    return found


def test_six_side_outputs_and_the_fused_one_count_alike() -> None:
    assert float(loss(output(), mask()).detach()) == pytest.approx(7 * math.log(2), rel=1e-6)


def test_a_perfect_mask_costs_nothing() -> None:
    sides = [torch.full((2, 1, 32 // s, 32 // s), -30.0) for s in (1, 2, 4, 8, 16, 32)]
    perfect = Segmentation(torch.full((2, 1, 32, 32), -30.0), sides)
    assert float(loss(perfect, torch.zeros(2, 1, 32, 32)).detach()) == pytest.approx(0, abs=1e-6)


def test_every_output_learns() -> None:
    found = output()
    parts = [found.logits, *found.side_logits]
    assert all(bool(gradient.any()) for gradient in torch.autograd.grad(loss(found, mask()), parts))


def test_side_outputs_are_brought_to_the_masks_size() -> None:
    found = output()
    coarse = torch.randn(2, 1, 2, 2)
    found.side_logits[4] = coarse
    upsampled = F.interpolate(coarse, (32, 32), mode="bilinear")
    expected = 6 * math.log(2) + float(F.binary_cross_entropy_with_logits(upsampled, mask()))
    assert float(loss(found, mask()).detach()) == pytest.approx(expected, rel=1e-6)


def test_a_side_output_too_few_is_refused() -> None:
    found = output()
    with pytest.raises(ValueError, match="zip"):
        loss(Segmentation(found.logits, found.side_logits[:5]), mask())
