"""Building blocks that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_OPEN = 2.0
"""Before the sigmoid: a factor of 0.88, where the sigmoid is not yet flat."""


def conv_bn_relu(channels_in: int, channels_out: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the size, batch normalization, ReLU."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


@torch.no_grad()
def pass_through(layer: nn.Sequential, features: Tensor, factor: float = 1.0) -> None:
    """Initialise a layer of `conv_bn_relu` to pass on its first input channels, times a factor.

    The normalization removes and restores the mean and variance of each channel over `features`. Function preserving as
    in Net2Net (Chen et al., ICLR 2016), so that a layer can be inserted into a trained network.

    Args:
        layer: has at least as many input as output channels.
        features: (N, C, H, W), not negative, representative inputs; C of the layer's output.
        factor: that the output is multiplied by.
    """
    convolution, normalization = layer[0], layer[1]
    if not isinstance(convolution, nn.Conv2d) or not isinstance(normalization, nn.BatchNorm2d):
        raise TypeError(f"expected a convolution and a normalization, found {layer}")
    nn.init.dirac_(convolution.weight)
    mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3))
    normalization.running_mean, normalization.running_var = mean.clone(), variance.clone()
    normalization.weight.copy_(factor * (variance + normalization.eps).sqrt())
    normalization.bias.copy_(factor * mean)


def resize_like(x: Tensor, reference: Tensor) -> Tensor:
    """Bilinear resize of `x` to the height and width of `reference`.

    To the reference's size rather than by a factor of two, so that inputs of any size pass: pooling rounds down.
    """
    if x.shape[-2:] == reference.shape[-2:]:
        return x
    return F.interpolate(x, size=reference.shape[-2:], mode="bilinear", align_corners=False)


class SqueezeExcitation(nn.Module):
    """Channel attention (Hu et al., CVPR 2018): global pooling, two linear layers, sigmoid (paper §III-B2)."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, max(1, channels // reduction), 1)
        self.excite = nn.Conv2d(max(1, channels // reduction), channels, 1)

    @torch.no_grad()
    def pass_through(self) -> float:
        """Initialise every factor to one constant near 1 that can still be learned, and return it."""
        self.excite.weight.zero_()
        self.excite.bias.fill_(_OPEN)  # type: ignore[union-attr]  # it has a bias
        return float(torch.sigmoid(torch.tensor(_OPEN)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same, each channel multiplied by a factor in 0..1."""
        factor = x.mean((2, 3), keepdim=True)  # (N, C, H, W) -> (N, C, 1, 1)
        factor = torch.sigmoid(self.excite(F.relu(self.squeeze(factor))))
        return x * factor


class InputNormalization(nn.Module):
    """Shift and scale of the one grey channel; belongs to the model, so that callers pass 0..1.

    The figures are the means over the colours of ImageNet's usual ones, as the encoders start from ImageNet weights.
    """

    MEAN = 0.449
    STD = 0.226

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(self.MEAN))
        self.register_buffer("std", torch.tensor(self.STD))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) in 0..1 to the same, normalized."""
        if x.ndim != 4 or x.shape[1] != 1:
            raise ValueError(f"expected a tensor of shape (N, 1, H, W), found {tuple(x.shape)}")
        return (x - self.mean) / self.std
