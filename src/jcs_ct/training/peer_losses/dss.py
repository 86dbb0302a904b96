"""Loss of DSS (Hou et al., IEEE TPAMI 2019): cross-entropy of every side output and of the fused one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation

SIDE_WEIGHTS = (1.0,) * 6
"""Of the side outputs, finest first; `loss_weight: 1` throughout in train_val.prototxt of github.com/houqb/DSS."""
FUSED_WEIGHT = 1.0


def loss(output: Segmentation, target: Tensor) -> Tensor:
    """Weighted sum over the outputs, each upsampled to the mask's size first; not balanced, unlike that of HED.

    Sums over pixels in the paper, means here: only the learning rate's unit differs.

    Args:
        output: of DSS, with its six side outputs.
        target: (N, 1, H, W) in 0..1.
    """
    parts = [FUSED_WEIGHT * F.binary_cross_entropy_with_logits(output.logits, target)]
    for weight, logits in zip(SIDE_WEIGHTS, output.side_logits, strict=True):
        parts.append(weight * F.binary_cross_entropy_with_logits(resize_like(logits, target), target))
    return torch.stack(parts).sum()
