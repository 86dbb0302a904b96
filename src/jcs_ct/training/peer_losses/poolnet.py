"""Loss of PoolNet (Liu et al., CVPR 2019): cross-entropy, with edges the balanced one of edge detection on top."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation

NEGATIVE_WEIGHT = 1.1
"""λ of the balanced cross-entropy (Liu et al., "Richer Convolutional Features for Edge Detection", CVPR 2017, eq. 1);
PoolNet's authors use the same figure (github.com/backseason/PoolNet, joint_solver.py)."""


def edges_of(mask: Tensor) -> Tensor:
    """The outermost pixels of every lesion, diagonal neighbours counted.

    Args:
        mask: (N, 1, H, W) in 0..1; a pixel from one half up is lesion.

    Returns:
        (N, 1, H, W) of 0 and 1. A lesion that the picture's border cuts off has no edge there.
    """
    lesion = (mask >= 0.5).to(mask.dtype)
    core = -F.max_pool2d(-lesion, 3, stride=1, padding=1)  # pads with -inf, so nothing erodes from outside the picture
    return lesion - core


def _balanced_cross_entropy(logits: Tensor, edges: Tensor) -> Tensor:
    """Edge pixels weigh what the other pixels are as a share of all, and the other way round.

    The shares are the batch's: by itself a slice without lesion would weigh nothing at all.
    """
    share = edges.mean()
    weight = torch.where(edges > 0, 1 - share, NEGATIVE_WEIGHT * share)
    return F.binary_cross_entropy_with_logits(logits, edges, weight)


def loss(output: Segmentation, target: Tensor) -> Tensor:
    """Cross-entropy of the mask; plus that of every edge output against the mask's edges, each with weight 1.

    Sums over pixels in the paper, means here: only the learning rate's unit differs.

    Args:
        output: of PoolNet, with or without edges.
        target: (N, 1, H, W) in 0..1.
    """
    total = F.binary_cross_entropy_with_logits(output.logits, target)
    if not output.edge_logits:
        return total
    edges = edges_of(target)
    parts = [_balanced_cross_entropy(resize_like(logits, edges), edges) for logits in output.edge_logits]
    return total + torch.stack(parts).sum()
