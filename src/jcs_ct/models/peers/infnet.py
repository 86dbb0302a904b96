"""Inf-Net (Fan et al., "Inf-Net: Automatic COVID-19 Lung Infection Segmentation from CT Images", IEEE TMI 2020).

A partial decoder says roughly where lesions are; three reverse attention modules, coarse to fine, look at what it has
left out, with the help of edges (§III-A, Fig. 2). This is the supervised network, without the paper's semi-supervision.
Channels and kernels that the paper does not print are those of the layers that the authors publish.

Differences from the published network: one grey channel; Res2Net-50 with the plain stem and shortcuts, not its "v1b"
ones; a head is a 3×3 convolution with bias and no batch normalization, on f5 as well (1×1 there); bilinear resizing
goes to the next map's size, not by a factor. The published network carries ImageNet's classification layer along, which
no output of it uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.layers import conv_bn_relu, resize_like
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.models.vgg import PAPER_WIDTHS, VGGEncoder

Backbone = Literal["vgg", "res2net"]
RES2NET_CHANNELS = (64, 128, 256, 512)
"""Res2Net-50's stages before their fourfold expansion, as published."""
CONTEXT_CHANNELS = 32
"""Channels of each level in the partial decoder."""
EDGE_CHANNELS = 64
REVERSE_ATTENTION = ((64, 3, 2), (64, 3, 2), (256, 5, 3))
"""Channels, kernel size and number of convolutions of the reverse attention on f3, f4 and f5."""


class ContextBlock(nn.Module):
    """Receptive field block (Liu et al., ECCV 2018) as partial decoders have it (Wu et al., CVPR 2019).

    Branches of 1×1, 1×k, k×1 and a 3×3 convolution with dilation k, for k of 3, 5 and 7; one of 1×1 only; a shortcut.
    """

    SIZES = (3, 5, 7)

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_conv_bn(channels_in, channels, (1, 1))])
        for size in self.SIZES:
            branch = (
                _conv_bn(channels_in, channels, (1, 1)),
                _conv_bn(channels, channels, (1, size)),
                _conv_bn(channels, channels, (size, 1)),
                _conv_bn(channels, channels, dilation=size),
            )
            self.branches.append(nn.Sequential(*branch))
        self.merge = _conv_bn(channels * len(self.branches), channels)
        self.shortcut = _conv_bn(channels_in, channels, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, D, H, W)."""
        merged = self.merge(torch.cat([branch(x) for branch in self.branches], 1))
        return F.relu(merged + self.shortcut(x))


class PartialDecoder(nn.Module):
    """Parallel partial decoder (§III-A): f3, f4 and f5 to the global map S_g.

    Only high levels are decoded, as low ones cost much and add little. Each level is multiplied by all coarser ones
    first, then joined with what the next coarser one has gathered.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.contexts = nn.ModuleList(ContextBlock(width, channels) for width in widths)
        self.gate_middle = _conv_bn(channels, channels)
        self.gates_fine = nn.ModuleList(_conv_bn(channels, channels) for _ in range(2))
        self.lift_top = _conv_bn(channels, channels)
        self.lift_middle = _conv_bn(2 * channels, 2 * channels)
        self.merge_middle = _conv_bn(2 * channels, 2 * channels)
        self.merge_fine = nn.Sequential(_conv_bn(3 * channels, 3 * channels), _conv_bn(3 * channels, 3 * channels))
        self.head = nn.Conv2d(3 * channels, 1, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Three levels, finest first, to logits (N, 1, h, w) at the finest one's size."""
        fine, middle, top = (context(level) for context, level in zip(self.contexts, levels, strict=True))
        gated_fine = fine * self.gates_fine[0](resize_like(middle, fine)) * self.gates_fine[1](resize_like(top, fine))
        top = resize_like(top, middle)
        joined = self.merge_middle(torch.cat((middle * self.gate_middle(top), self.lift_top(top)), 1))
        joined = torch.cat((gated_fine, self.lift_middle(resize_like(joined, fine))), 1)
        logits: Tensor = self.head(self.merge_fine(joined))
        return logits


class EdgeAttention(nn.Module):
    """Edge attention (§III-A): features of the low level f2 that are taught the lesions' outlines."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv_bn(channels_in, channels, (1, 1)), _conv_bn(channels, channels), _conv_bn(channels, channels)
        )
        self.head = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f2 (N, C, h, w) to e_att (N, D, h, w) and edge logits (N, 1, h, w)."""
        features = self.features(x)
        return features, self.head(features)


class ReverseAttention(nn.Module):
    """Reverse attention (§III-A, Eqs. 2 and 3): a level without what the coarser map is sure of already, and edges.

    Equation 2 as the authors corrected it (their repository, 2020/08/15): R_i = C(f_i · A_i, Dow(e_att)).
    """

    def __init__(self, channels_in: int, channels_edge: int, channels: int, kernel: int, count: int) -> None:
        super().__init__()
        self.reduce = _conv_bn(channels_in, channels, (1, 1))
        layers: list[nn.Module] = [conv_bn_relu(channels + channels_edge, channels, kernel)]
        layers += [conv_bn_relu(channels, channels, kernel) for _ in range(count - 1)]
        self.refine = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, level: Tensor, coarser: Tensor, edge: Tensor) -> Tensor:
        """f_i (N, C, h, w), logits S_i+1 (N, 1, ·, ·) and e_att (N, D, ·, ·) to logits S_i (N, 1, h, w)."""
        coarser = resize_like(coarser, level)
        attended = self.reduce(level * torch.sigmoid(-coarser))  # σ(−x) = 1 − σ(x)
        logits: Tensor = self.head(self.refine(torch.cat((attended, resize_like(edge, level)), 1)))
        return logits + coarser


class InfNet(nn.Module):
    """Lesion segmenter with a partial decoder, reverse attention and edge attention.

    Args:
        backbone: "res2net" as published, or "vgg".
        widths: the backbone's channels: of VGG's five blocks, or of Res2Net's four stages before the fourfold
            expansion. As published if left out; with narrower ones the other parts narrow in proportion.
    """

    def __init__(self, backbone: Backbone = "res2net", widths: Sequence[int] | None = None) -> None:
        super().__init__()
        self.encoder = _encoder(backbone, widths)
        low, *high = self.encoder.widths[1:]
        share = (widths or RES2NET_CHANNELS)[-1] / RES2NET_CHANNELS[-1]  # VGG-16's last width is the same
        edge_channels = _share(EDGE_CHANNELS, share)
        self.edge = EdgeAttention(low, edge_channels)
        self.partial_decoder = PartialDecoder(high, _share(CONTEXT_CHANNELS, share))
        self.reverse = nn.ModuleList(
            ReverseAttention(width, edge_channels, _share(channels, share), kernel, count)
            for width, (channels, kernel, count) in zip(high, REVERSE_ATTENTION, strict=True)
        )

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to logits, side logits and edge logits."""
        _, low, *high = self.encoder(x)
        edge, edge_logits = self.edge(low)
        global_map = self.partial_decoder(high)
        coarser = global_map
        maps: list[Tensor] = []
        for module, level in zip(reversed(self.reverse), reversed(high), strict=True):
            coarser = module(level, coarser, edge)
            maps.insert(0, coarser)
        return Segmentation(resize_like(maps[0], x), [maps[0], global_map, *maps[1:]], [edge_logits])


def _encoder(backbone: Backbone, widths: Sequence[int] | None) -> VGGEncoder | Res2NetBackbone:
    if backbone not in get_args(Backbone):
        raise ValueError(f"no backbone {backbone!r}; backbones: {', '.join(get_args(Backbone))}")
    if backbone == "vgg":
        return VGGEncoder(widths or PAPER_WIDTHS)
    return Res2NetBackbone(channels=widths or RES2NET_CHANNELS)


def _share(channels: int, share: float) -> int:
    """Channels of a part beside a narrower backbone; fewer than eight say too little."""
    return max(8, round(channels * share))


def _conv_bn(channels_in: int, channels_out: int, kernel: tuple[int, int] = (3, 3), dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the size and batch normalization; no ReLU, as products and sums follow."""
    padding = (dilation * (kernel[0] - 1) // 2, dilation * (kernel[1] - 1) // 2)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
    )
