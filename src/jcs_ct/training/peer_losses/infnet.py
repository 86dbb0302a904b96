"""The loss of Inf-Net (Fan et al., IEEE TMI 2020, §III-A): weighted IoU and cross-entropy, and that of edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.outlines import outline

WINDOW = 31
"""Side in pixels of the neighbourhood that a pixel is compared with (Wei et al., "F3Net", AAAI 2020)."""
EMPHASIS = 5.0
"""Weight of a pixel wholly unlike its neighbourhood, beyond the 1 that every pixel has (F3Net)."""


def loss(output: Segmentation, target: Tensor) -> Tensor:
    """L_seg of S_3, S_4, S_5 and S_g, each brought to the mask's size, plus L_edge (λ = 1).

    Args:
        output: of `InfNet`.
        target: (N, 1, H, W) in 0..1.
    """
    maps = [_structure_loss(resize_like(logits, target), target) for logits in output.side_logits]
    edge = F.binary_cross_entropy_with_logits(resize_like(output.edge_logits[0], target), outline(target))
    return torch.stack([*maps, edge]).sum()


def _structure_loss(logits: Tensor, target: Tensor) -> Tensor:
    """L_seg: weighted IoU and weighted binary cross-entropy, per image, then the mean; borders weigh most.

    One pixel is added above and below the IoU's fraction, so that an empty prediction of an empty mask costs nothing.
    """
    weight = 1 + EMPHASIS * (F.avg_pool2d(target, WINDOW, 1, WINDOW // 2) - target).abs()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    cross_entropy = (weight * cross_entropy).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    probability = torch.sigmoid(logits)
    overlap = (weight * probability * target).sum((1, 2, 3))
    total = (weight * (probability + target)).sum((1, 2, 3))
    return (cross_entropy + 1 - (overlap + 1) / (total - overlap + 1)).mean()
