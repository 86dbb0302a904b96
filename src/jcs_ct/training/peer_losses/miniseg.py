"""Loss of MiniSeg (Qiu, Liu, Li and Xu, AAAI 2021): cross-entropy with deep supervision."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation

SIDE_WEIGHT = 0.4
"""Of each side output but the finest (the authors' published training, github.com/yun-liu/MiniSeg)."""


def loss(output: Segmentation, target: Tensor) -> Tensor:
    """Cross-entropy of the finest output plus 0.4 times that of each coarser one, all upsampled to the mask's size.

    The authors' is over two logits, lesion and background, which equals the binary one of their difference. They weight
    the two by how frequent they are in their training data; here both count the same.

    Args:
        output: of the network.
        target: (N, 1, H, W) in 0..1.
    """
    finest, *coarser = [
        F.binary_cross_entropy_with_logits(resize_like(logits, target), target) for logits in output.side_logits
    ]
    return finest + SIDE_WEIGHT * torch.stack(coarser).sum()
