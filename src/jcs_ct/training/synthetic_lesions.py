"""Opacities laid over uninfected lungs: pasted from an outlined slice of the same batch, or painted.

Outlined patients are few, uninfected ones many. A lesion in another patient's lung teaches that it is the lesion that
counts and not the patient (copy-paste, Ghiasi et al., CVPR 2021; synthetic lesions, Lyu et al., 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEVEL = (0.3, 0.85)
"""Grey of painted opacities on the common scale: ground glass of -640 HU to consolidation of 20 HU."""
COVERED = (0.75, 0.97)
"""Quantile of the random field in the lungs above which lesion is painted."""
CELLS = ((4, 5), (9, 12))
"""Coarse and fine grid of the random field: the size of patches and the raggedness of their borders."""


def paint(
    image: Tensor,
    mask: Tensor,
    lung: Tensor,
    generator: torch.Generator,
    levels: tuple[float, float] = LEVEL,
    covered: tuple[float, float] = COVERED,
) -> tuple[Tensor, Tensor]:
    """Paint patches of one density into the lungs.

    Args:
        image: (H, W), 0..1.
        mask: (H, W), 0..1.
        lung: (H, W), bool; nothing is painted without lung.
        generator: of all that is drawn.
        levels: see `LEVEL`.
        covered: see `COVERED`.
    """
    if not bool(lung.any()):
        return image, mask
    height, width = image.shape
    field = torch.zeros(height, width)
    for weight, cells in zip((1.0, 0.5), CELLS, strict=True):
        grid = torch.randn(1, 1, *cells, generator=generator)
        field = field + weight * F.interpolate(grid, (height, width), mode="bicubic", align_corners=False)[0, 0]
    low, high = covered
    border = torch.quantile(field[lung], low + (high - low) * float(torch.rand((), generator=generator)))
    sharp = 3 + 12 * float(torch.rand((), generator=generator))
    cover = torch.sigmoid(sharp * (field - border)) * lung
    low, high = levels
    level = low + (high - low) * float(torch.rand((), generator=generator))
    texture = torch.randn(1, 1, height // 4, width // 4, generator=generator) * 0.05
    texture = F.interpolate(texture, (height, width), mode="bilinear", align_corners=False)[0, 0]
    painted = image + cover * (level + texture - image).clamp_min(0)  # vessels stay visible in ground glass
    return painted.clamp(0, 1), torch.maximum(mask, (cover > 0.5).float())


def paste(image: Tensor, mask: Tensor, lung: Tensor, donor: Tensor, outline: Tensor) -> tuple[Tensor, Tensor]:
    """Lay the outlined opacities of one slice over the lungs of another; all (H, W).

    Args:
        image: 0..1.
        mask: 0..1.
        lung: bool; opacities are cut off where it ends.
        donor: the slice that shows the opacities, 0..1.
        outline: its mask, 0..1.
    """
    soft = F.avg_pool2d(outline[None, None], 5, stride=1, padding=2)[0, 0] * lung
    pasted = image + soft * (torch.maximum(donor, image) - image)
    return pasted, torch.maximum(mask, (soft > 0.5).float())


def with_synthetic_lesions(
    image: Tensor, mask: Tensor, lung: Tensor, empty: Tensor, pasted: float, painted: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Give a share of the slices without opacities some.

    Args:
        image: (N, 1, H, W), 0..1.
        mask: (N, 1, H, W), 0..1.
        lung: (N, 1, H, W), bool.
        empty: (N,), whether a slice surely shows no opacity.
        pasted: share of those that get the opacities of another slice of the batch.
        painted: share of those that get painted ones.
        generator: of all that is drawn.
    """
    if pasted <= 0 and painted <= 0:
        return image, mask
    image, mask = image.clone(), mask.clone()
    donors = (mask.amax((1, 2, 3)) > 0.5).nonzero()[:, 0].tolist()
    for index in empty.nonzero()[:, 0].tolist():
        draw = float(torch.rand((), generator=generator))
        one, own, inside = image[index, 0], mask[index, 0], lung[index, 0]
        if draw < pasted and donors:
            donor = donors[int(torch.randint(len(donors), (), generator=generator))]
            image[index, 0], mask[index, 0] = paste(one, own, inside, image[donor, 0], mask[donor, 0])
        elif draw < pasted + painted:
            image[index, 0], mask[index, 0] = paint(one, own, inside, generator)
    return image, mask
