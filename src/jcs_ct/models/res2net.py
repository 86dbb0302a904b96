"""Res2Net backbone (Gao et al., TPAMI 2021), the body of the classifier (paper §III-A1), from timm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models.res2net import Bottle2neck
from timm.models.resnet import ResNet
from torch import Tensor, nn

from jcs_ct.models.layers import InputNormalization


class Res2NetBackbone(nn.Module):
    """Stem and four stages; gives the last feature map of each of the five.

    Args:
        layers: blocks in each stage; (3, 4, 6, 3) is Res2Net-50, (3, 4, 23, 3) Res2Net-101.
        channels: width of each stage before the fourfold expansion; (64, 128, 256, 512) as published.
        output_stride: 32 as published; 16 dilates the last stage in place of striding.
    """

    SCALE = 4
    BASE_WIDTH = 26

    def __init__(
        self,
        layers: Sequence[int] = (3, 4, 6, 3),
        channels: Sequence[int] = (64, 128, 256, 512),
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        self.normalize = InputNormalization()
        arguments: dict[str, Any] = {
            "layers": list(layers),
            "channels": tuple(channels),
            "base_width": self.BASE_WIDTH,
            "block_args": {"scale": self.SCALE},
            "in_chans": 1,
            "num_classes": 0,
            "output_stride": output_stride,
        }
        self.body: Any = ResNet(Bottle2neck, **arguments)  # type: ignore[arg-type]  # timm names only its own two
        self.widths = (64, *(width * Bottle2neck.expansion for width in channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) in 0..1 to the five feature maps A_1..A_5 at strides 2, 4, 8, 16, 32 (or the output stride)."""
        body = self.body
        x = body.act1(body.bn1(body.conv1(self.normalize(x))))
        features = [x]
        x = body.maxpool(x)
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            x = stage(x)
            features.append(x)
        return features
