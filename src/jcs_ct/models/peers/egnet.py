"""EGNet (Zhao et al., "EGNet: Edge Guidance Network for Salient Object Detection", ICCV 2019), VGG-16 version.

Edges and objects are learnt side by side, and the edge features then guide the object features of every scale. Kernels
and channels are the paper's Table 1; where it says nothing (1×1 convolutions without bias between unequal widths, 128
channels and Table 1's kernels after guidance, 5×5 and 3×3 at the end), they are those of the layers that the authors
publish, which sum to the published 108.07 M parameters.

Differences from the published network: batches have one grey channel; pooling is 2×2, as elsewhere in this package, not
3×3; bilinear resizing does not align corners; weights start as He et al. (ICCV 2015) draw them, as the published
deviation of 0.01 silences narrower networks, which have no normalization that would lift them again.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.models.vgg import PAPER_WIDTHS, VGGEncoder

KERNELS = (3, 3, 5, 5, 7)
"""Kernel sizes of the side paths behind conv2 to conv6 (Table 1)."""
HEAD_DEVIATION = 0.01
"""Standard deviation of a head's first weights (§4.1): logits start near 0, whatever the features' size."""


class SidePath(nn.Module):
    """Three convolutions with ReLU (T1 to T3 of Table 1) and a 3×3 one to a single channel (D)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(channels, channels, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
        self.enhance = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to features (N, C, H, W) and logits (N, 1, H, W)."""
        features = self.enhance(x)
        return features, self.head(features)


class Injection(nn.Module):
    """Coarser features brought to a finer map's channels and size, and added to it (the paper's Trans, φ and Up)."""

    def __init__(self, channels_coarse: int, channels_fine: int) -> None:
        super().__init__()
        self.translate: nn.Module = nn.Identity()
        if channels_coarse != channels_fine:
            convolution = nn.Conv2d(channels_coarse, channels_fine, 1, bias=False)
            self.translate = nn.Sequential(convolution, nn.ReLU(inplace=True))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, C, h, w) and (N, D, H, W) to (N, D, H, W)."""
        return fine + resize_like(self.translate(coarse), fine)


class ObjectExtraction(nn.Module):
    """Progressive salient object features (§3.1.1): a U-shaped decoder over conv3 to conv6."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.sides = nn.ModuleList(SidePath(width, kernel) for width, kernel in zip(widths, KERNELS[1:], strict=True))
        self.injections = nn.ModuleList(Injection(widths[i + 1], widths[i]) for i in range(len(widths) - 1))

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Levels to enhanced features and their logits, finest first both."""
        feature, logit = self.sides[-1](levels[-1])
        features, logits = [feature], [logit]
        for index in reversed(range(len(self.injections))):
            feature, logit = self.sides[index](self.injections[index](feature, levels[index]))
            features.insert(0, feature)
            logits.insert(0, logit)
        return features, logits


class EdgeExtraction(nn.Module):
    """Non-local salient edge features (§3.1.2): conv2 knows where edges are, the top level which of them matter."""

    def __init__(self, channels_top: int, channels: int) -> None:
        super().__init__()
        self.injection = Injection(channels_top, channels)
        self.side = SidePath(channels, KERNELS[0])

    def forward(self, level: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """conv2 (N, C, H, W) and the top level's features to edge features (N, C, H, W) and logits (N, 1, H, W)."""
        features, logits = self.side(self.injection(top, level))
        return features, logits


class OneToOneGuidance(nn.Module):
    """Edge features added to the object features of each scale, one to one (§3.2), and the scales fused (Fig. 2, FF).

    Features are fused, not predictions: the four guided ones, all at the edge features' size, are summed.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.injections = nn.ModuleList(Injection(width, channels) for width in widths)
        self.sides = nn.ModuleList(SidePath(channels, kernel) for kernel in KERNELS[1:])
        self.fuse = nn.Conv2d(channels, channels, 5, padding=2)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, objects: Sequence[Tensor], edge: Tensor) -> list[Tensor]:
        """Object features, finest first, and edge features to logits at the latter's size: fused, then each scale's."""
        pairs = [
            side(injection(feature, edge))
            for side, injection, feature in zip(self.sides, self.injections, objects, strict=True)
        ]
        fused = torch.stack([features for features, _ in pairs]).sum(0)
        return [self.head(F.relu(self.fuse(fused))), *(logits for _, logits in pairs)]


class EGNet(nn.Module):
    """Edge guidance network; every part takes its channels from the encoder's.

    Args:
        widths: channels of the five VGG blocks.
    """

    def __init__(self, widths: Sequence[int] = PAPER_WIDTHS) -> None:
        super().__init__()
        self.encoder = VGGEncoder(widths)
        self.top = _conv6(widths[-1])
        object_widths = (*widths[2:], widths[-1])  # conv1 is left out: too little of the picture is seen there (§3.1)
        self.objects = ObjectExtraction(object_widths)
        self.edge = EdgeExtraction(widths[-1], widths[1])
        self.guidance = OneToOneGuidance(object_widths, widths[1])
        self.apply(_initialise)  # the encoder's as well, for those who have no ImageNet weights to put there

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to logits, side logits and edge logits."""
        _, edge_level, *levels = self.encoder(x)
        levels.append(self.top(levels[-1]))
        objects, object_logits = self.objects(levels)
        edge, edge_logits = self.edge(edge_level, objects[-1])
        guided_logits = self.guidance(objects, edge)
        return Segmentation(resize_like(guided_logits[0], x), [*guided_logits, *object_logits], [edge_logits])


def _conv6(channels: int) -> nn.Sequential:
    """The sixth block, behind the last pooling (§3.1)."""
    layers: list[nn.Module] = [nn.MaxPool2d(2)]
    for _ in range(3):
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _initialise(module: nn.Module) -> None:
    if not isinstance(module, nn.Conv2d):
        return
    if module.out_channels == 1:
        nn.init.normal_(module.weight, std=HEAD_DEVIATION)
    else:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if module.bias is not None:
        nn.init.zeros_(module.bias)
