"""What looks like an opacity and is none, laid over training slices: no training source shows it often enough.

In thick slices the dome of the diaphragm, a full stomach, the chest wall at the apex are averaged with lung. Their
places get an empty mask, on infected slices as on others, so that being there says nothing of infection.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

RADIUS = (0.08, 0.30)
"""Semi-axes of a dome, as a share of the picture's height."""
TISSUE = (0.80, 0.93)
"""Grey of soft tissue on the one scale: about -40 to 110 HU."""
FOOD = (0.72, 0.87)
"""Grey of what fills a stomach: about -140 to 40 HU."""
REACH = 9
"""Pixels by which a dome may cover what is not lung: it moves the border of the lung, it does not leave the body."""
HAZY_SHARE = 0.15
"""Share of domes whose top is only touched by the slice: as faint as ground glass, but smooth and round."""
THICK_SCALE = (0.88, 0.97)
"""Size of the neighbouring slice that a thick slice is averaged with, relative to its own."""


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _texture(height: int, width: int, generator: torch.Generator) -> Tensor:
    """(H, W): soft tissue, plain or mottled with specks of gas as a full stomach is."""
    if _uniform(0, 1, generator) < 0.5:
        return torch.full((height, width), _uniform(*TISSUE, generator))
    mottled = torch.full((height, width), _uniform(*FOOD, generator))
    for cells in (6, 16, 40):
        field = torch.randn(1, 1, cells, cells, generator=generator) * _uniform(0.005, 0.03, generator)
        mottled = mottled + F.interpolate(field, (height, width), mode="bicubic", align_corners=False)[0, 0]
    specks = torch.randn(1, 1, height // 3, width // 3, generator=generator)
    specks = F.interpolate(specks, (height, width), mode="bilinear", align_corners=False)[0, 0]
    return mottled - torch.relu(specks - _uniform(1.0, 1.8, generator)) * _uniform(0.2, 0.8, generator)


def add_dome(image: Tensor, mask: Tensor, lung: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A round organ that rises into the lung.

    Args:
        image: (H, W), 0..1.
        mask: (H, W), 0..1.
        lung: (H, W), bool; where the organ's centre may lie. Without lung nothing is added.
        generator: of all that is drawn.

    Returns:
        Image and mask; the mask is emptied as far as the organ covers it.
    """
    places = lung.nonzero()
    if not len(places):
        return image, mask
    height, width = image.shape
    row, column = places[int(torch.randint(len(places), (), generator=generator))].tolist()
    turn = _uniform(0, math.pi, generator)
    semi = [_uniform(*RADIUS, generator) * height for _ in range(2)]
    y, x = torch.meshgrid(torch.arange(height) - row, torch.arange(width) - column, indexing="ij")
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    angle = torch.atan2(across, along)
    uneven = 1.0 + sum(
        _uniform(0, 0.12, generator) * torch.sin(k * angle + _uniform(0, 2 * math.pi, generator)) for k in (2, 3)
    )
    distance = torch.sqrt((along / semi[0]) ** 2 + (across / semi[1]) ** 2) / uneven
    hazy = _uniform(0, 1, generator) < HAZY_SHARE
    softness = _uniform(0.15, 0.3, generator) if hazy else _uniform(0.01, 0.12, generator)
    cover = torch.sigmoid((1 - distance) / softness) * (_uniform(0.3, 0.7, generator) if hazy else 1.0)
    around = F.max_pool2d((lung | (mask > 0)).float()[None], 2 * REACH + 1, stride=1, padding=REACH)
    cover = cover * F.avg_pool2d(around, 5, stride=1, padding=2)[0]
    covered = image + cover * (_texture(height, width, generator) - image)
    return covered.clamp(0, 1), mask * (1 - torch.clamp(2 * cover, 0, 1))


def thicken(image: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Average (H, W) image and mask with the slice's own smaller copy, as where the chest tapers within one slice."""
    zoom = 1 / _uniform(*THICK_SCALE, generator)
    share = _uniform(0.25, 0.5, generator)
    theta = torch.tensor([[[zoom, 0.0, 0.0], [0.0, zoom, 0.0]]])
    grid = F.affine_grid(theta, [1, 1, *image.shape], align_corners=False)
    pair = torch.stack([image, mask])[:, None]
    other = F.grid_sample(pair, grid.expand(2, -1, -1, -1), padding_mode="border", align_corners=False)
    mixed = pair + share * (other - pair)
    return mixed[0, 0], mixed[1, 0]


def with_synthetic_mimics(
    image: Tensor, mask: Tensor, lung: Tensor, domes: float, thick: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Lay synthetic mimics over a share of a batch.

    Args:
        image: (N, 1, H, W), 0..1.
        mask: (N, 1, H, W), 0..1.
        lung: (N, 1, H, W), bool.
        domes: share of slices that get a dome.
        thick: share of slices that become thick ones.
        generator: of all that is drawn.
    """
    if domes <= 0 and thick <= 0:
        return image, mask
    image, mask = image.clone(), mask.clone()
    for index in range(len(image)):
        one, own = image[index, 0], mask[index, 0]
        if _uniform(0, 1, generator) < domes:
            one, own = add_dome(one, own, lung[index, 0], generator)
        if _uniform(0, 1, generator) < thick:
            one, own = thicken(one, own, generator)
        image[index, 0], mask[index, 0] = one, own
    return image, mask
