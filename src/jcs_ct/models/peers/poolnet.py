"""PoolNet: Liu et al., "A Simple Pooling-Based Design for Real-Time Salient Object Detection", CVPR 2019; VGG-16.

A feature pyramid whose levels hear of the whole picture (global guidance module, §3.2) and are smoothed over several
scales after every fusion (feature aggregation modules, §3.3); with `edges`, the variant trained jointly with edge
detection. What the paper leaves open, channel counts above all, is as in the authors' code
(github.com/backseason/PoolNet, networks/). Others list it with 53.63 M parameters (Intell. Robot. 2024;4(4):503-523,
Table 2), which is the count of the variant with edges; without them it is 52.51 M.

Where this differs: the backbone's poolings are `VGGEncoder`'s, bilinear resizing does not align corners, the residual
blocks of the edge branch have the ReLUs of He et al. inside, and edges come from the masks, not from another data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.layers import resize_like
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.models.vgg import PAPER_WIDTHS, VGGEncoder


def _conv(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Conv2d:
    """Convolution that keeps the size, without bias; torch's own start is close to the published noise of 0.01."""
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)


def _conv_relu(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Sequential:
    """The same with ReLU behind it."""
    return nn.Sequential(_conv(channels_in, channels_out, kernel), nn.ReLU(inplace=True))


def _bins(length: int, count: int) -> Tensor:
    """(count, length) weights; row k averages places floor(k·length/count) up to ceil((k+1)·length/count)."""
    spans = [(k * length // count, -(-(k + 1) * length // count)) for k in range(count)]
    return torch.tensor([[(start <= k < end) / (end - start) for k in range(length)] for start, end in spans])


def average_to(x: Tensor, count: int) -> Tensor:
    """(N, C, H, W) to (N, C, count, count), the same as `F.adaptive_avg_pool2d`.

    As two matrix products, because ONNX has no such pooling for sizes that `count` does not divide.
    """
    rows, columns = (_bins(int(length), count).to(x) for length in x.shape[-2:])
    return rows @ x @ columns.T


def shrink(x: Tensor, rate: int) -> Tensor:
    """Average pooling by `rate`; over the whole of a side that is shorter than that, so that a map is left."""
    height, width = (int(length) for length in x.shape[-2:])
    return F.avg_pool2d(x, (min(rate, height), min(rate, width)))


class GlobalGuidance(nn.Module):
    """Pyramid pooling of the top level and a guiding flow to each finer one (§3.2).

    Args:
        widths: channels of the levels, finest first; the last is the top.
    """

    COUNTS = (1, 3, 5)

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        *finer, top = widths
        self.pyramid = nn.ModuleList(_conv_relu(top, top, kernel=1) for _ in self.COUNTS)
        self.merge = _conv_relu(top * (1 + len(self.COUNTS)), top)
        self.flows = nn.ModuleList(_conv_relu(top, width) for width in finer)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """All levels, finest first, to one flow for each but the top, of that level's shape."""
        *finer, top = levels
        pooled = [conv(average_to(top, count)) for conv, count in zip(self.pyramid, self.COUNTS, strict=True)]
        guide = self.merge(torch.cat([top, *(resize_like(part, top) for part in pooled)], dim=1))
        return [flow(resize_like(guide, level)) for flow, level in zip(self.flows, finer, strict=True)]


class FeatureAggregation(nn.Module):
    """Average pooling by 2, 4 and 8, a convolution each, all summed up with the input (§3.3)."""

    RATES = (2, 4, 8)

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_conv(channels_in, channels_in) for _ in self.RATES)
        self.out = _conv(channels_in, channels_out)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """(N, C, h, w) to (N, channels_out, H, W), at the size of `finer` (N, _, H, W)."""
        total = x
        for conv, rate in zip(self.branches, self.RATES, strict=True):
            total = total + resize_like(conv(shrink(x, rate)), x)
        out: Tensor = self.out(resize_like(F.relu(total), finer))
        return out


class Bottleneck(nn.Module):
    """Residual block of 1×1, 3×3 and 1×1 convolutions (He et al., CVPR 2016), without batch normalization."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.residual = nn.Sequential(
            _conv_relu(channels, inner, kernel=1), _conv_relu(inner, inner), _conv(inner, channels, kernel=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return F.relu(x + self.residual(x))


class EdgeBranch(nn.Module):
    """Edges of three levels, and what they know for the mask (paper's section on joint training with edge detection).

    Args:
        widths: channels of the three fused levels, finest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        narrow, wide = max(1, widths[0] // 8), widths[0]  # 16 and 128 as published
        self.blocks = nn.ModuleList(
            nn.Sequential(Bottleneck(width), Bottleneck(width), _conv(width, narrow, kernel=1)) for width in widths
        )
        self.scores = nn.ModuleList(nn.Conv2d(narrow, 1, 1) for _ in widths)
        self.fuse = nn.Conv2d(len(widths), 1, 1)
        joined = narrow * len(widths)
        self.transmit = nn.Sequential(
            _conv_relu(joined, joined), _conv_relu(joined, wide), _conv_relu(wide, wide), _conv_relu(wide, wide)
        )

    def forward(self, levels: Sequence[Tensor], image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Fused levels (finest first) to the edge logits and to features for the mask, at the finest level's size."""
        features = [block(level) for block, level in zip(self.blocks, levels, strict=True)]
        sides = [score(level) for score, level in zip(self.scores, features, strict=True)]
        fused = self.fuse(torch.cat([resize_like(side, image) for side in sides], dim=1))
        # As published, the mask's loss does not change what the levels hold of edges.
        held = torch.cat([resize_like(level.detach(), levels[0]) for level in features], dim=1)
        return [fused, *sides], self.transmit(held)


class PoolNet(nn.Module):
    """Feature pyramid with global guidance and feature aggregation.

    Args:
        widths: channels of the five VGG blocks; the network's own channels follow them.
        edges: whether to give edges as well, and to use them for the mask.
    """

    def __init__(self, widths: Sequence[int] = PAPER_WIDTHS, *, edges: bool = False) -> None:
        super().__init__()
        self.encoder = VGGEncoder(widths)
        _, *levels = widths  # the first block, at stride 1, takes no part
        self.guidance = GlobalGuidance(levels)
        self.aggregations = nn.ModuleList(FeatureAggregation(coarser, width) for width, coarser in pairwise(levels))
        self.fusions = nn.ModuleList(_conv(width, width) for width in levels[:-1])
        self.last = FeatureAggregation(levels[0], levels[0])
        self.edges = EdgeBranch(levels[:-1]) if edges else None
        self.score = nn.Conv2d(2 * levels[0], 1, 3, padding=1) if edges else nn.Conv2d(levels[0], 1, 1)

    def fuse(self, levels: Sequence[Tensor], flows: Sequence[Tensor]) -> list[Tensor]:
        """Top-down pathway: levels at strides 2 to 16 and flows at 2 to 8, to fused levels at 2 to 8, finest first."""
        x = levels[-1]
        fused: list[Tensor] = []
        for place in reversed(range(len(self.fusions))):
            x = self.aggregations[place](x, levels[place])
            x = self.fusions[place](x + levels[place] + flows[place])
            fused.insert(0, x)
        return fused

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to logits, one side output at stride 2, and the edges if there are any."""
        _, *levels = self.encoder(x)
        fused = self.fuse(levels, self.guidance(levels))
        finest = self.last(fused[0], fused[0])
        if self.edges is None:
            side = self.score(finest)
            return Segmentation(resize_like(side, x), [side])
        edge_logits, held = self.edges(fused, x)
        side = self.score(torch.cat([finest, held], dim=1))
        return Segmentation(resize_like(side, x), [side], edge_logits)
