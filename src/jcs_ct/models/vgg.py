"""VGG-16 encoder (Simonyan and Zisserman, ICLR 2015), the backbone of the segmenter (paper §III-B1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from jcs_ct.models.layers import InputNormalization

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions in each of the five blocks."""
PAPER_WIDTHS = (64, 128, 256, 512, 512)
TORCHVISION_INDEX = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Places of the thirteen convolutions in torchvision's `vgg16().features`."""
_IMAGENET_MEAN = torch.tensor((0.485, 0.456, 0.406))
_IMAGENET_STD = torch.tensor((0.229, 0.224, 0.225))


class VGGEncoder(nn.Module):
    """Five blocks of 3×3 convolutions and ReLU; every block but the first begins with 2×2 max pooling."""

    def __init__(self, widths: Sequence[int] = PAPER_WIDTHS) -> None:
        super().__init__()
        if len(widths) != len(CONVOLUTIONS):
            raise ValueError(f"expected {len(CONVOLUTIONS)} block widths, found {len(widths)}")
        self.widths = tuple(widths)
        self.normalize = InputNormalization()
        self.blocks = nn.ModuleList()
        channels = 1
        for index, (width, count) in enumerate(zip(widths, CONVOLUTIONS, strict=True)):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if index else []
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self.blocks.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) in 0..1 to the five feature maps at strides 1, 2, 4, 8, 16."""
        x = self.normalize(x)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features

    def convolutions(self) -> list[nn.Conv2d]:
        """The thirteen convolutions in order."""
        return [layer for block in self.blocks for layer in block.children() if isinstance(layer, nn.Conv2d)]

    def load_imagenet(self, features: Mapping[str, Tensor]) -> None:
        """Take torchvision-shaped ImageNet weights ("0.weight", "0.bias", "2.weight"...), at full width only.

        Grey input stands for three equal colours, so the first kernels are summed over them and the two
        normalizations folded together: exact but for a border one pixel wide, where zero padding meets the shift.
        """
        if self.widths != PAPER_WIDTHS:
            raise ValueError(f"ImageNet weights fit widths {PAPER_WIDTHS}, this encoder has {self.widths}")
        for index, convolution in zip(TORCHVISION_INDEX, self.convolutions(), strict=True):
            weight, bias = features[f"{index}.weight"].float(), features[f"{index}.bias"].float()
            if index == 0:
                bias = bias + (weight.sum((2, 3)) * (InputNormalization.MEAN - _IMAGENET_MEAN) / _IMAGENET_STD).sum(1)
                weight = (weight * (InputNormalization.STD / _IMAGENET_STD)[None, :, None, None]).sum(1, keepdim=True)
            with torch.no_grad():
                convolution.weight.copy_(weight)
                convolution.bias.copy_(bias)  # type: ignore[union-attr]  # these convolutions have one
