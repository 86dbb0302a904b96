"""Loss of U-Net (Ronneberger, Fischer and Brox, MICCAI 2015, §3): cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from jcs_ct.models.segmenter import Segmentation


def loss(output: Segmentation, target: Tensor) -> Tensor:
    """Equation (1) with equal weights: mean cross-entropy over the pixels.

    The published weights (equation 2) count the gaps between touching cells more; lesions are not told apart, so that
    there are none.

    Args:
        output: of the network.
        target: (N, 1, H, W) in 0..1.
    """
    return F.binary_cross_entropy_with_logits(output.logits, target)
