"""U-Net (Ronneberger, Fischer and Brox, MICCAI 2015), the first of the paper's comparison methods (paper §V-A)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from jcs_ct.models.layers import InputNormalization, conv_bn_relu, resize_like
from jcs_ct.models.segmenter import Segmentation


def double_convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two 3×3 convolutions, the unit of both paths (§2, Fig. 1)."""
    return nn.Sequential(conv_bn_relu(channels_in, channels_out), conv_bn_relu(channels_out, channels_out))


class UpStep(nn.Module):
    """One step of the expansive path: 2×2 up-convolution to half the channels, skip connection, two convolutions."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2)
        self.convolve = double_convolution(2 * channels_out, channels_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, C_in, h, w) and the level above it, (N, C, H, W), to (N, C, H, W)."""
        # The up-convolution falls a pixel short where pooling dropped one.
        upsampled = resize_like(self.upsample(x), skip)
        out: Tensor = self.convolve(torch.cat([skip, upsampled], dim=1))
        return out


class UNet(nn.Module):
    """U-Net as it is commonly used since: padded convolutions with batch normalization.

    The published one (§2) has neither, so that its output is smaller than its input and nothing has to be cropped here;
    its dropout at the end of the contracting path gave way to the batch normalization as well. One logit stands for the
    two of a softmax over lesion and background.

    31,036,481 parameters at the published widths; for colour pictures it would be the 31,037,633 that public
    implementations of this form report, as two more input channels are 2 · 9 · 64 = 1,152 weights more.

    Args:
        widths: channels of each level, finest first; every level but the first begins with 2×2 max pooling.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.normalize = InputNormalization()
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList(
            double_convolution(wider, width) for wider, width in zip((1, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(UpStep(coarse, fine) for fine, coarse in pairwise(widths))
        self.predict = nn.Conv2d(widths[0], 1, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """(N, 1, H, W) in 0..1 to the levels of the contracting path, at strides 1, 2, 4, 8, 16."""
        x = self.normalize(x)
        levels: list[Tensor] = []
        for step in self.down:
            x = step(self.pool(x) if levels else x)
            levels.append(x)
        return levels

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """The levels, finest first, to logits (N, 1, H, W)."""
        x = levels[-1]
        for step, skip in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            x = step(x, skip)
        logits: Tensor = self.predict(x)
        return logits

    def forward(self, x: Tensor) -> Segmentation:
        """(N, 1, H, W) in 0..1 to logits, which are the only side logits."""
        logits = self.decode(self.encode(x))
        return Segmentation(logits, [logits])
