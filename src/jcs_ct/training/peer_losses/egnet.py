"""The loss of EGNet (Zhao et al., ICCV 2019, §3): cross-entropy on every map of objects and on the map of edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.peer_losses.outlines import outline


def loss(output: Segmentation, target: Tensor) -> Tensor:
    """Binary cross-entropies of all side outputs with the mask and of the edges with its outline, summed.

    Every map is brought to the mask's size first. The paper sums over pixels; the mean is taken here, which keeps the
    terms' proportions and does not change with the input's size.

    Args:
        output: of `EGNet`.
        target: (N, 1, H, W) in 0..1.
    """
    objects = [_cross_entropy(logits, target) for logits in output.side_logits]
    return torch.stack([*objects, _cross_entropy(output.edge_logits[0], outline(target))]).sum()


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(resize_like(logits, target), target)
