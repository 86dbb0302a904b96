"""DSS: Hou et al., "Deeply Supervised Salient Object Detection with Short Connections", IEEE TPAMI 41(4), 2019.

Six side outputs as in HED, each fed with coarser ones through short connections, and all six fused. Kernels, channels
and the pattern of the connections are those of the paper's Table 1 and of the authors' `train_val.prototxt`
(github.com/houqb/DSS). 62.23 M parameters at VGG-16's widths, the figure that Liu et al. list (Intell. Robot.
2024;4(4):503-523, Table 2).

Where this differs: the backbone's poolings are `VGGEncoder`'s, bilinear resizing stands for the fixed transposed
convolutions, the short connections start as means, and there is neither CRF nor averaging of maps at test time (the
authors' notebook averages side outputs 3 to 5 with the fused map): `logits` is the fused output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.models.vgg import PAPER_WIDTHS, VGGEncoder


class Side(NamedTuple):
    """How one side output is made."""

    kernel: int
    """Size of its two convolutions."""
    share: float
    """Channels of its two convolutions, by those of the encoder's block."""
    hears: tuple[int, ...]
    """Places of the coarser side outputs that short connections bring in, the finest being 0."""


SIDES = (
    Side(3, 2, (2, 3, 4, 5)),  # conv1_2: 128 channels at VGG-16's widths
    Side(3, 1, (2, 3, 4, 5)),  # conv2_2: 128
    Side(5, 1, (4, 5)),  # conv3_3: 256
    Side(5, 0.5, (4, 5)),  # conv4_3: 256
    Side(5, 1, ()),  # conv5_3: 512
    Side(7, 1, ()),  # pool5: 512
)


def _mean_of(count: int) -> nn.Conv2d:
    """A learned weighting of score maps that starts as their mean.

    So the published fusion starts (1/6 each). Published short connections start as noise of 0.01, nearly cut off.
    """
    convolution = nn.Conv2d(count, 1, 1)
    nn.init.constant_(convolution.weight, 1 / count)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # this convolution has one
    return convolution


def _branch(channels_in: int, channels: int, kernel: int) -> nn.Sequential:
    """Two convolutions with ReLU and a 1×1 convolution to one score (Table 1)."""
    layers: list[nn.Module] = []
    for _ in range(2):
        convolution = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2)
        # The published noise of 0.01 is about this at 512 channels; He's rule keeps the signal at narrower ones too.
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # this convolution has one
        layers += [convolution, nn.ReLU(inplace=True)]
        channels_in = channels
    score = nn.Conv2d(channels, 1, 1)
    nn.init.normal_(score.weight, std=0.01)  # as published: the first maps are undecided
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]  # this convolution has one
    return nn.Sequential(*layers, score)


class DSS(nn.Module):
    """HED with short connections.

    Args:
        widths: channels of the five VGG blocks; the side outputs' own channels follow them.
    """

    def __init__(self, widths: Sequence[int] = PAPER_WIDTHS) -> None:
        super().__init__()
        self.encoder = VGGEncoder(widths)
        self.branches = nn.ModuleList(
            _branch(width, max(1, round(side.share * width)), side.kernel)
            for side, width in zip(SIDES, (*widths, widths[-1]), strict=True)
        )
        self.connections = nn.ModuleList(
            _mean_of(1 + len(side.hears)) if side.hears else nn.Identity() for side in SIDES
        )
        self.fuse = _mean_of(len(SIDES))

    def encode(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) in 0..1 to the features of the six side outputs, at strides 1, 2, 4, 8, 16, 32."""
        features: list[Tensor] = self.encoder(x)
        pooled = F.max_pool2d(features[-1], 3, stride=2, padding=1)  # rounds up: never empty
        return [*features, F.avg_pool2d(pooled, 3, stride=1, padding=1)]

    def connect(self, scores: Sequence[Tensor]) -> list[Tensor]:
        """Each level's own score map to its side logits, coarse to fine; all (N, 1, h, w), finest first."""
        sides = list(scores)
        for place in reversed(range(len(SIDES))):
            heard = [resize_like(sides[coarser], scores[place]) for coarser in SIDES[place].hears]
            sides[place] = self.connections[place](torch.cat([scores[place], *heard], dim=1))
        return sides

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to the fused logits and the six side logits."""
        scores = [branch(level) for branch, level in zip(self.branches, self.encode(x), strict=True)]
        sides = self.connect(scores)
        logits = self.fuse(torch.cat([resize_like(side, x) for side in sides], dim=1))
        return Segmentation(logits, sides)
