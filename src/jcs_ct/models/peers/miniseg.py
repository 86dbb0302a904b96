"""MiniSeg (Qiu, Liu, Li and Xu, AAAI 2021): 83 thousand parameters, made to learn COVID-19 CT from few slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from jcs_ct.models.layers import InputNormalization, resize_like
from jcs_ct.models.segmenter import Segmentation

DILATIONS = (1, 2, 4, 8)
"""One for each branch of the AHSP module."""


def _bn_prelu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU(channels))


def _depthwise(channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


def convolution_block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """CB: 3×3 convolution, batch normalization, PReLU; takes the AHSP module's place in the first stage."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, _bn_prelu(channels_out))


def downsampler_block(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """DB: 1×1 and depthwise 5×5 convolution, batch normalization, PReLU; the detail path has no other block."""
    pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
    return nn.Sequential(pointwise, _depthwise(channels_out, 5, stride), _bn_prelu(channels_out))


class AttentiveHierarchicalSpatialPyramid(nn.Module):
    """AHSP module: four dilations, each added to the smaller ones, each weighed by attention.

    A 1×1 convolution leaves a quarter of the channels, which four dilated depthwise convolutions and an average pooling
    share. Sums from the small to the large dilation close the gaps of the grid that a large one alone would see.
    Each of the four sums has an attention map of its own and a quarter of the output's channels.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        count = len(DILATIONS)
        if channels_out % count:
            raise ValueError(f"{channels_out} channels cannot be divided into {count} equal branches")
        branch = channels_out // count
        self.reduce = nn.Conv2d(channels_in, branch, 1, bias=False)
        self.pool = nn.AvgPool2d(3, stride, padding=1)
        self.branches = nn.ModuleList(_depthwise(branch, 3, stride, dilation) for dilation in DILATIONS)
        self.attention = nn.Conv2d(channels_out, count, 1, groups=count, bias=False)
        self.fuse = nn.Conv2d(channels_out, channels_out, 1, groups=count, bias=False)
        self.finish = _bn_prelu(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C, H/stride, W/stride), rounded up."""
        x = self.reduce(x)
        _, *sums = accumulate((branch(x) for branch in self.branches), initial=self.pool(x))
        pyramid = torch.stack(sums, dim=1)  # 4 × (N, C/4, h, w) -> (N, 4, C/4, h, w)
        attention = torch.sigmoid(self.attention(pyramid.flatten(1, 2)))  # (N, C, h, w) -> (N, 4, h, w)
        pyramid = pyramid * (1 + attention[:, :, None])
        out: Tensor = self.finish(self.fuse(pyramid.flatten(1, 2)))
        return out


class Exchange(nn.Module):
    """What the paths tell each other between two stages: 1×1 convolution over both, split, one half added to each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(2 * channels, 2 * channels, 1, bias=False), nn.BatchNorm2d(2 * channels))

    def forward(self, context: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Two times (N, C, H, W) to the same."""
        to_context, to_detail = self.mix(torch.cat([context, detail], dim=1)).chunk(2, dim=1)
        return context + to_context, detail + to_detail


class Stage(nn.Module):
    """One stage of the two-path encoder: halves the size, then residual blocks that see the sum of both paths.

    Args:
        block: makes a block of the context path from input channels, output channels and stride.
        channels_in: of both paths, before.
        channels_out: of both paths, after.
        count: blocks of the context path and of the detail path, with those that halve the size.
    """

    def __init__(
        self, block: Callable[[int, int, int], nn.Module], channels_in: int, channels_out: int, count: tuple[int, int]
    ) -> None:
        super().__init__()
        self.context_down = block(channels_in, channels_out, 2)
        self.detail_down = downsampler_block(channels_in, channels_out, 2)
        self.context = nn.ModuleList(block(channels_out, channels_out, 1) for _ in range(count[0] - 1))
        self.detail = nn.ModuleList(downsampler_block(channels_out, channels_out) for _ in range(count[1] - 1))

    def forward(self, context: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Two times (N, C_in, H, W) to two times (N, C, H/2, W/2), rounded up."""
        context, detail = self.context_down(context), self.detail_down(detail)
        for index, block in enumerate(self.context):
            both = context + detail
            context = context + block(both)
            if index < len(self.detail):  # the detail path is shallow: the rest of the context path goes on alone
                detail = detail + self.detail[index](both)
        return context, detail


class FeatureFusionModule(nn.Module):
    """FFM, one step of the decoder: the coarser level through two dilations, added to the encoder's level."""

    def __init__(self, channels_coarse: int, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels_coarse, channels, 1, bias=False)
        self.near, self.far = _depthwise(channels, dilation=1), _depthwise(channels, dilation=2)
        self.norm = nn.BatchNorm2d(channels)
        self.lateral = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.activate = nn.PReLU(channels)

    def forward(self, coarse: Tensor, level: Tensor) -> Tensor:
        """(N, C_coarse, h, w) and (N, C, H, W) to (N, C, H, W)."""
        # The 1×1 convolution and the resizing commute; this order is four times cheaper.
        x = resize_like(self.reduce(coarse), level)
        out: Tensor = self.activate(self.norm(self.near(x) + self.far(x)) + self.lateral(level))
        return out


class MiniSeg(nn.Module):
    """Two-path encoder of AHSP modules, light decoder, a prediction at each of its four levels.

    Widths, numbers of blocks (C, N and M of the paper's ablation, Table V) and kernels are those of the authors'
    published model (github.com/yun-liu/MiniSeg); it has 82,912 parameters, the paper's 82.91 thousand. This one has
    82,492: 160 fewer for grey input, 132 for one logit in place of two at four levels, 128 for biases that batch
    normalization takes away again. The published model's dropout of one percent before each prediction is left out.

    Args:
        widths: channels of the four stages, at strides 2, 4, 8, 16; multiples of 4 but for the first.
        context_blocks: blocks of each stage's context path.
        detail_blocks: blocks of each stage's detail path, no more than in the context path.
    """

    def __init__(
        self,
        widths: Sequence[int] = (8, 24, 32, 64),
        context_blocks: Sequence[int] = (3, 4, 9, 7),
        detail_blocks: Sequence[int] = (2, 2, 5, 4),
    ) -> None:
        super().__init__()
        first, *counts = zip(context_blocks, detail_blocks, strict=True)
        steps = list(pairwise(widths))
        self.normalize = InputNormalization()
        self.first = Stage(convolution_block, 1, widths[0], first)
        self.exchanges = nn.ModuleList(Exchange(width) for width in widths[:-1])
        self.stages = nn.ModuleList(
            Stage(AttentiveHierarchicalSpatialPyramid, fine, coarse, count)
            for (fine, coarse), count in zip(steps, counts, strict=True)
        )
        self.top = nn.Sequential(nn.Conv2d(widths[-1], widths[-1], 1, bias=False), _bn_prelu(widths[-1]))
        self.fusions = nn.ModuleList(FeatureFusionModule(coarse, fine) for fine, coarse in steps)
        self.predictions = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)

    def encode(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) in 0..1 to the context path's levels, at strides 2, 4, 8, 16."""
        x = self.normalize(x)
        context, detail = self.first(x, x)
        levels: list[Tensor] = [context]
        for exchange, stage in zip(self.exchanges, self.stages, strict=True):
            context, detail = stage(*exchange(context, detail))
            levels.append(context)
        return levels

    def decode(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels to as many side logits, each (N, 1, h, w), both finest first."""
        x = self.top(levels[-1])
        side_logits: list[Tensor] = [self.predictions[-1](x)]
        for fusion, level, predict in zip(
            reversed(self.fusions), reversed(levels[:-1]), reversed(self.predictions[:-1]), strict=True
        ):
            x = fusion(x, level)
            side_logits.insert(0, predict(x))
        return side_logits

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to logits, from stride 2, and side logits at strides 2, 4, 8, 16."""
        side_logits = self.decode(self.encode(x))
        return Segmentation(resize_like(side_logits[0], x), side_logits)
