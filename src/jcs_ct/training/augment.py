"""Augmentation of whole batches: one grid of places for image and mask, then changes of grey for the image alone."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jcs_ct.training.config import AugmentSettings


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


class Augment:
    """Random change of (N, 1, H, W) images in 0..1 and of what lies on them."""

    def __init__(self, settings: AugmentSettings) -> None:
        self.settings = settings

    def __call__(self, image: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images (N, 1, H, W) and masks (N, C, H, W), changed alike in place; masks in 0..1 are not made binary."""
        grid = self._grid(image, generator)
        image = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        mask = F.grid_sample(mask, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return self._grey(image, generator), mask

    def _grid(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """(N, H, W, 2): where each output pixel is taken from."""
        s = self.settings
        count, _, height, width = image.shape
        angle = _uniform(count, -s.rotate, s.rotate, generator) * math.pi / 180
        angle = angle + (torch.rand(count, generator=generator) < s.quarter_turn) * (math.pi / 2)
        zoom = 1 / torch.exp(_uniform(count, math.log(s.scale[0]), math.log(s.scale[1]), generator))
        mirror = torch.ones(2, count)
        if s.flip:
            mirror = 1 - 2 * (torch.rand(2, count, generator=generator) < 0.5).float()
            if not s.flip_vertical:
                mirror[1] = 1
        aspect = width / height  # rotation is of the picture, not of its unit square
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        shift = _uniform(2 * count, -2 * s.shift, 2 * s.shift, generator).reshape(2, count)
        theta = torch.stack(
            [
                torch.stack([cos * mirror[0], -sin * mirror[1] / aspect, shift[0]], 1),
                torch.stack([sin * mirror[0] * aspect, cos * mirror[1], shift[1]], 1),
            ],
            1,
        )  # (N, 2, 3)
        grid = F.affine_grid(theta, [count, 1, height, width], align_corners=False)
        if s.elastic > 0:
            field = torch.randn(count, 2, 5, 6, generator=generator) * s.elastic
            field = F.interpolate(field, (height, width), mode="bicubic", align_corners=False)
            grid = grid + field.permute(0, 2, 3, 1)
        return grid

    def _grey(self, image: Tensor, generator: torch.Generator) -> Tensor:
        s = self.settings
        count = len(image)

        def each(low: float, high: float) -> Tensor:
            return _uniform(count, low, high, generator)[:, None, None, None]

        image = image.clamp(1e-4, 1) ** torch.exp(each(-s.gamma, s.gamma))
        image = (image - 0.5) * (1 + each(-s.contrast, s.contrast)) + 0.5 + each(-s.level, s.level)
        if s.blur > 0:
            soft = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
            blurred = (torch.rand(count, generator=generator) < s.blur)[:, None, None, None]
            amount = each(0, 1) * blurred
            image = image + amount * (soft - image)
        if s.window > 0:
            narrow = (torch.rand(count, generator=generator) < s.window)[:, None, None, None]
            low, high = each(0, 0.1), each(0.8, 1.0)
            image = torch.where(narrow, torch.minimum(torch.maximum(image, low), high), image)
        if s.noise > 0:
            image = image + torch.randn(image.shape, generator=generator) * each(0, s.noise)
        image = image.clamp(0, 1)
        for index in range(count):
            if s.coarse > 0 and float(torch.rand((), generator=generator)) < s.coarse:
                image[index] = _coarse(image[index], float(_uniform(1, 0.4, 0.9, generator)))
            if s.jpeg > 0 and float(torch.rand((), generator=generator)) < s.jpeg:
                image[index, 0] = _jpeg(image[index, 0], int(torch.randint(30, 91, (), generator=generator)))
        return image


def _coarse(image: Tensor, factor: float) -> Tensor:
    """(1, H, W) reduced by a factor and enlarged again."""
    height, width = image.shape[-2:]
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    small = F.interpolate(image[None], size, mode="bilinear", antialias=True)
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False)[0]


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """(H, W) as JPEG keeps it."""
    stored = io.BytesIO()
    Image.fromarray((image * 255).round().to(torch.uint8).numpy()).save(stored, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(stored))).float() / 255


def random_crop(tensors: list[Tensor], size: tuple[int, int], generator: torch.Generator) -> list[Tensor]:
    """The same random part of `size` of each tensor (N, C, H, W)."""
    height, width = tensors[0].shape[-2:]
    rows, columns = min(size[0], height), min(size[1], width)
    top = int(torch.randint(height - rows + 1, (), generator=generator))
    left = int(torch.randint(width - columns + 1, (), generator=generator))
    return [tensor[..., top : top + rows, left : left + columns] for tensor in tensors]
