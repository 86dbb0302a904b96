"""A small network that finds both lungs and tells how a slice lies, on whole slices before anything is cut out.

A U-Net (Ronneberger et al., MICCAI 2015) that works at half the input's resolution and draws the border at the full one
by sub-pixel convolution (Shi et al., CVPR 2016). The eight orientations of a slice are classes of a second output.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.layers import InputNormalization, conv_bn_relu, resize_like

WIDTHS = (16, 24, 40, 64, 96)
"""Channels at strides 2, 4, 8, 16 and 32."""
ORIENTATIONS = 8
"""Class `4 * mirrored + turns`: an upright slice mirrored or not, then turned counter-clockwise by quarters."""
_SIDES = 2
_CELLS = 2
"""Cells a side whose features tell the orientation."""


class LungPrediction(NamedTuple):
    """What the network says of a batch of slices."""

    logits: Tensor
    """(N, 2, H, W): the patient's right lung, the left lung."""
    orientation: Tensor
    """(N, 8): logits of the orientations."""


class LungNetwork(nn.Module):
    """Right and left lung and the orientation of a slice.

    Args:
        widths: channels of the five levels.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.normalize = InputNormalization()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.first = conv_bn_relu(widths[0], widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), conv_bn_relu(a, b), conv_bn_relu(b, b)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            conv_bn_relu(deep + level, level) for deep, level in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.predict = nn.Conv2d(widths[0], 4 * _SIDES, 3, padding=1)
        self.orient = nn.Sequential(nn.Linear(widths[-1] * _CELLS**2, 64), nn.ReLU(), nn.Linear(64, ORIENTATIONS))

    def forward(self, x: Tensor) -> LungPrediction:
        """(N, 1, H, W) in 0..1 to lungs and orientation; for export, sides divisible by 64."""
        image = x
        x = self.first(self.stem(self.normalize(image)))
        levels = [x]
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        cells = F.adaptive_avg_pool2d(x, _CELLS)  # (N, C, h, w) -> (N, C, 2, 2)
        orientation = self.orient(cells.flatten(1))
        for stage, level in zip(self.up, levels[-2::-1], strict=True):
            x = stage(torch.cat([resize_like(x, level), level], 1))
        logits = F.pixel_shuffle(self.predict(x), 2)  # (N, 8, H/2, W/2) -> (N, 2, H, W)
        return LungPrediction(resize_like(logits, image), orientation)
