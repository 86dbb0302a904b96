"""The joint model (paper §III-B4, Fig. 4): the classifier's features enhance the segmenter's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from jcs_ct.models.activation_map import margin_activation_map
from jcs_ct.models.classifier import Classification, Classifier
from jcs_ct.models.layers import SqueezeExcitation, conv_bn_relu, pass_through, resize_like
from jcs_ct.models.segmenter import Segmentation, Segmenter


class JointPrediction(NamedTuple):
    """Outputs of both branches for a batch of slices."""

    classification: Classification
    segmentation: Segmentation


class FeatureCombination(nn.Module):
    """One stage of Fig. 4: A_k resized up to M_E^k, concatenated, 1×1, SE, 3×3."""

    def __init__(self, channels_segmenter: int, channels_classifier: int) -> None:
        super().__init__()
        self.reduce = conv_bn_relu(channels_segmenter + channels_classifier, channels_segmenter, kernel=1)
        self.attention = SqueezeExcitation(channels_segmenter)
        self.transition = conv_bn_relu(channels_segmenter, channels_segmenter)

    def pass_through(self, segmenter: Tensor) -> None:
        """Initialise to the identity on M_E^k, whatever A_k is; `segmenter` is M_E^k of some slices."""
        pass_through(self.reduce, segmenter)
        factor = self.attention.pass_through()
        pass_through(self.transition, factor * segmenter, 1 / factor)

    def forward(self, segmenter: Tensor, classifier: Tensor) -> Tensor:
        """M_E^k (N, C, H, W) and A_k (N, C', h, w) to N_E^k (N, C, H, W)."""
        x = torch.cat([segmenter, resize_like(classifier, segmenter)], dim=1)
        enhanced: Tensor = self.transition(self.attention(self.reduce(x)))
        return enhanced


class JointModel(nn.Module):
    """Segmenter whose encoder levels are enhanced by the classifier's stages; returns both outputs in one pass."""

    def __init__(self, classifier: Classifier, segmenter: Segmenter) -> None:
        super().__init__()
        self.classifier = classifier
        self.segmenter = segmenter
        self.combinations = nn.ModuleList(
            FeatureCombination(m, a) for m, a in zip(segmenter.encoder.widths, classifier.backbone.widths, strict=True)
        )

    @torch.no_grad()
    def start_from_segmenter(self, x: Tensor) -> None:
        """Initialise the combinations so that the joint model starts with the outlines of its segmenter.

        Random combinations give the decoder features that it never saw, and a short training does not recover.

        Args:
            x: (N, 1, H, W) in 0..1, representative slices.
        """
        training = self.segmenter.training
        levels, _ = self.segmenter.eval().encode(x)
        self.segmenter.train(training)
        for combination, level in zip(self.combinations, levels, strict=True):
            combination.pass_through(level)  # type: ignore[operator]  # it is a FeatureCombination

    def forward(self, x: Tensor) -> JointPrediction:
        """(N, 1, H, W) in 0..1 to classification and segmentation."""
        stages = self.classifier.backbone(x)
        pooled = stages[-1].mean((2, 3))
        logits = self.classifier.head(self.classifier.dropout(pooled))
        activation_map = margin_activation_map(stages[-1], self.classifier.head)
        levels, top = self.segmenter.encode(x)
        combined = [combine(m, a) for combine, m, a in zip(self.combinations, levels, stages, strict=True)]
        side_logits = self.segmenter.decoder(combined, top)
        return JointPrediction(
            Classification(logits, activation_map, pooled), Segmentation(resize_like(side_logits[0], x), side_logits)
        )
