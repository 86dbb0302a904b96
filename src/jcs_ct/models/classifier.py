"""The explainable slice classifier (paper §III-A): Res2Net, global average pooling, two-way linear layer, map."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from jcs_ct.models.activation_map import margin_activation_map
from jcs_ct.models.res2net import Res2NetBackbone


class Classification(NamedTuple):
    """Outputs of the classifier for a batch of slices."""

    logits: Tensor
    """(N, 2): uninfected, infected."""
    activation_map: Tensor
    """(N, 1, h, w): activation map, not negative, at the backbone's stride."""
    features: Tensor
    """(N, C): the backbone's last features, averaged over the slice."""


class Classifier(nn.Module):
    """Slice classifier with an activation map and pooled features as further outputs."""

    def __init__(self, backbone: Res2NetBackbone, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.widths[-1], 2)

    def forward(self, x: Tensor) -> Classification:
        """(N, 1, H, W) in 0..1 to logits and activation map."""
        features = self.backbone(x)[-1]
        pooled = features.mean((2, 3))  # (N, C, h, w) -> (N, C)
        logits = self.head(self.dropout(pooled))
        return Classification(logits, margin_activation_map(features, self.head), pooled)
