"""A narrower VGG-16 encoder from the ImageNet one, without forgetting what it knows.

The ImageNet encoder spends most of its channels on colours and objects that no CT slice shows. Layer by layer, the
channels that span the others best on CT slices are kept (pivoted Cholesky of their second moments), and the narrow
layer's weights are fitted by least squares so that, from the narrow layer before, it gives the wide layer's values in
the kept channels. This is channel pruning with reconstruction (He, Zhang and Sun, ICCV 2017) by another choice of
channels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.vgg import VGGEncoder

LOG = logging.getLogger(__name__)
SAMPLES_PER_IMAGE = 400
"""Places of each feature map that enter the least squares."""
RIDGE = 1e-4
"""Regularisation, as a share of the mean diagonal of the normal equations."""


def pivots(moments: Tensor, count: int) -> Tensor:
    """Indices of `count` channels chosen greedily so that the unexplained energy of all channels is least.

    Args:
        moments: (C, C) second moments of the channels.
        count: how many to choose.
    """
    residual = moments.double().clone()
    chosen: list[int] = []
    for _ in range(count):
        energy = residual.diagonal().clamp_min(0)
        # What choosing channel j explains in all channels: sum_i r_ij^2 / r_jj.
        gain = (residual**2).sum(0) / energy.clamp_min(1e-9 * float(moments.diagonal().mean()))
        if chosen:
            gain[chosen] = -1
        best = int(gain.argmax())
        column = residual[:, best] / residual[best, best].clamp_min(1e-12).sqrt()
        residual = residual - torch.outer(column, column)
        chosen.append(best)
    return torch.tensor(sorted(chosen))


def _patches(x: Tensor, places: Tensor) -> Tensor:
    """(N, C, H, W) to (N·S, 9·C): the 3×3 neighbourhoods at flat `places` (S,)."""
    width = x.shape[-1]
    padded = F.pad(x, (1, 1, 1, 1))
    rows, columns = places // width, places % width
    parts = [padded[:, :, rows + dy, columns + dx] for dy in range(3) for dx in range(3)]  # 9 × (N, C, S)
    return torch.stack(parts, 2).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)


def _fit(convolution: nn.Conv2d, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> float:
    """Fit a convolution so that it maps inputs (N, C, H, W) to targets (N, K, H, W); share of variance left."""
    places = torch.randperm(inputs.shape[2] * inputs.shape[3], generator=generator)[:SAMPLES_PER_IMAGE]
    a = _patches(inputs, places)
    a = torch.cat([a, torch.ones(len(a), 1)], 1).double()
    b = targets.flatten(2)[:, :, places].permute(0, 2, 1).flatten(0, 1).double()
    gram = a.T @ a
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, a.T @ b)  # (9·C + 1, K)
    left = ((a @ solution - b) ** 2).mean() / b.var(0).mean()
    channels = convolution.in_channels
    with torch.no_grad():
        convolution.weight.copy_(solution[:-1].T.reshape(-1, channels, 3, 3).float())
        convolution.bias.copy_(solution[-1].float())  # type: ignore[union-attr]  # VGG's convolutions have one
    return float(left)


def _layers(encoder: VGGEncoder) -> Iterator[nn.Module]:
    for block in encoder.blocks:
        yield from block.children()


@torch.inference_mode()
def narrow(wide: VGGEncoder, narrow_encoder: VGGEncoder, images: Tensor, seed: int = 0) -> list[float]:
    """Fill `narrow_encoder` from `wide` on CT slices.

    Args:
        wide: encoder with learned weights.
        narrow_encoder: encoder of the same depth, to be written.
        images: (N, 1, H, W) in 0..1; a hundred are enough.
        seed: of the places that enter the least squares.

    Returns:
        For each convolution, the share of the kept channels' variance that the narrow one fails to give.
    """
    generator = torch.Generator().manual_seed(seed)
    x_wide = wide.normalize(images)
    x_narrow = x_wide
    left = []
    for layer_wide, layer_narrow in zip(_layers(wide), _layers(narrow_encoder), strict=True):
        if not (isinstance(layer_wide, nn.Conv2d) and isinstance(layer_narrow, nn.Conv2d)):
            x_wide, x_narrow = layer_wide(x_wide), layer_narrow(x_narrow)
            continue
        x_wide = _in_batches(layer_wide, x_wide)
        active = F.relu(x_wide[:, :, ::2, ::2]).permute(1, 0, 2, 3).flatten(1)  # (C, N·H·W/4)
        kept = pivots(active @ active.T / active.shape[1], layer_narrow.out_channels)
        left.append(_fit(layer_narrow, x_narrow, x_wide[:, kept], generator))
        LOG.info(
            "convolution %d: %d of %d channels, variance left %.4f", len(left), len(kept), x_wide.shape[1], left[-1]
        )
        x_narrow = _in_batches(layer_narrow, x_narrow)
    return left


def _in_batches(layer: nn.Module, x: Tensor, size: int = 16) -> Tensor:
    """A layer on many images without their intermediate copies all at once."""
    return torch.cat([layer(part) for part in torch.split(x, size)])
