"""The lesion segmenter (paper §III-B, Fig. 2): VGG-16, EFM, five AFF stages, deep supervision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from jcs_ct.models.attentive_fusion import AttentiveFeatureFusion, PlainFusion
from jcs_ct.models.enhanced_feature import EnhancedFeatureModule, PlainTop
from jcs_ct.models.layers import resize_like
from jcs_ct.models.vgg import VGGEncoder


class Segmentation(NamedTuple):
    """Outputs of a segmenter for a batch of slices."""

    logits: Tensor
    """(N, 1, H, W), at the input's size."""
    side_logits: list[Tensor]
    """Finest first; each (N, 1, h, w) at its own stride. The first is `logits` itself."""
    edge_logits: Sequence[Tensor] = ()
    """Logits of the lesions' edges, each (N, 1, h, w) at its own stride, from networks that learn edges as well."""


class Decoder(nn.Module):
    """Six levels in, five side outputs out, coarse to fine."""

    def __init__(self, widths_encoder: Sequence[int], widths: Sequence[int], attentive: bool = True) -> None:
        super().__init__()
        if len(widths) != len(widths_encoder):
            raise ValueError(f"expected {len(widths_encoder)} decoder widths, found {len(widths)}")
        coarser = [*widths[1:], widths_encoder[-1]]  # the top stage takes M_E^6 in place of M_D^6
        stage = AttentiveFeatureFusion if attentive else PlainFusion
        self.stages = nn.ModuleList(
            stage(encoder, decoder, out) for encoder, decoder, out in zip(widths_encoder, coarser, widths, strict=True)
        )

    def start_from(self, prior: float) -> None:
        """Initialise the side outputs' biases to this probability."""
        for name, bias in self.named_parameters():
            if name.endswith("predict.bias"):
                nn.init.constant_(bias, math.log(prior / (1 - prior)))

    def forward(self, features: Sequence[Tensor], top: Tensor) -> list[Tensor]:
        """Levels 1 to 5 and the top level 6 to the five side logits, finest first."""
        x = top
        side_logits: list[Tensor] = []
        for stage, level in zip(reversed(self.stages), reversed(features), strict=True):
            x, logits = stage(level, x)
            side_logits.insert(0, logits)
        return side_logits


class Segmenter(nn.Module):
    """Lesion segmenter.

    Args:
        widths: channels of the five VGG blocks.
        decoder_widths: channels of the five decoder stages; the paper's equal the encoder's.
        enhanced: whether EFM follows the encoder; False is the baseline of the paper's ablation (Table V).
        attentive: whether AFF fuses the levels; likewise.
    """

    def __init__(
        self,
        widths: Sequence[int],
        decoder_widths: Sequence[int] | None = None,
        *,
        enhanced: bool = True,
        attentive: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = VGGEncoder(widths)
        self.enhance = EnhancedFeatureModule(widths[-1]) if enhanced else PlainTop()
        self.decoder = Decoder(widths, decoder_widths or widths, attentive)

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(N, 1, H, W) in 0..1 to M_E^1..M_E^5 and M_E^6."""
        features = self.encoder(x)
        level5, level6 = self.enhance(features[-1])
        return [*features[:-1], level5], level6

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to logits and side logits."""
        features, top = self.encode(x)
        side_logits = self.decoder(features, top)
        return Segmentation(resize_like(side_logits[0], x), side_logits)
