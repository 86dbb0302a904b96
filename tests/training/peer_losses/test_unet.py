"""U-Net's loss against a case that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.unet import loss


def test_the_loss_is_the_mean_cross_entropy_over_all_pixels() -> None:
    # A quarter of the pixels is lesion at probability 3/4, the rest is not, at 1/2.
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0] = 1
    logits = math.log(3) * target
    expected = (math.log(4 / 3) + 3 * math.log(2)) / 4
    assert float(loss(Segmentation(logits, [logits]), target)) == pytest.approx(expected, rel=1e-5)
