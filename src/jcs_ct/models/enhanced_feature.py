"""Enhanced Feature Module: two Grouped Atrous Modules behind the encoder (paper §III-B2, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jcs_ct.models.layers import SqueezeExcitation, conv_bn_relu


class GroupedAtrousModule(nn.Module):
    """1×1 expands, four groups each with its atrous rate, SE, 1×1 halves, 3×3 transition (Fig. 3a)."""

    def __init__(self, channels: int, rates: Sequence[int], expansion: int = 2) -> None:
        super().__init__()
        expanded = channels * expansion
        if expanded % len(rates):
            raise ValueError(f"{expanded} channels cannot be divided into {len(rates)} equal groups")
        group = expanded // len(rates)
        self.expand = conv_bn_relu(channels, expanded, kernel=1)
        self.groups = nn.ModuleList(conv_bn_relu(group, group, dilation=rate) for rate in rates)
        self.attention = SqueezeExcitation(expanded)
        self.halve = conv_bn_relu(expanded, expanded // 2, kernel=1)
        self.transition = conv_bn_relu(expanded // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        parts = self.expand(x).chunk(len(self.groups), dim=1)
        x = torch.cat([group(part) for group, part in zip(self.groups, parts, strict=True)], dim=1)
        out: Tensor = self.transition(self.halve(self.attention(x)))
        return out


class EnhancedFeatureModule(nn.Module):
    """From conv5_3 to the two coarsest levels M_E^5 (stride 16) and M_E^6 (stride 32)."""

    RATES = ((1, 3, 6, 9), (1, 2, 3, 4))

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = GroupedAtrousModule(channels, self.RATES[0])
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # ceil: an input of less than 32 pixels still has a top level
        self.second = GroupedAtrousModule(channels, self.RATES[1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to (N, C, H, W) and (N, C, H/2, W/2)."""
        level5 = self.first(x)
        return level5, self.second(self.pool(level5))


class PlainTop(nn.Module):
    """The two deepest levels as they come, the baseline of the paper's ablation (Table V, without EFM)."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to itself and (N, C, H/2, W/2), rounded up."""
        return x, self.pool(x)
