"""Losses of the paper: equations (3), (4) and (6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.activation_map import normalized
from jcs_ct.models.layers import resize_like

STRAY_REACH = 0.02
"""Around lungs and lesions, as a share of the picture's width: the map's own places are several times as wide."""
USUAL_BURDEN = 0.02
"""Share of the lungs from which on a slice is rather infected, to begin with."""
LEAST_BURDEN = 0.002
"""Added to it, so that its logarithm does not tell one empty slice from another."""
SMALL_LUNG = 0.01
"""Lungs are taken as at least this share of the picture: on the smallest ones a few pixels would be everything."""
DICE_SMOOTHING = 1.0
"""Pixels added above and below the fraction, so that an empty prediction of an empty mask costs nothing."""


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Equation (6) for one output: binary cross-entropy plus Dice loss, per image, then the mean.

    The equation prints the Dice term without its factor 2, so that a perfect mask would cost 0.5; the usual form is
    meant.

    Args:
        logits: (N, 1, H, W).
        target: (N, 1, H, W) in 0..1.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((1, 2, 3))
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum((1, 2, 3))
    total = probability.sum((1, 2, 3)) + target.sum((1, 2, 3))
    dice = (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    return (cross_entropy + 1 - dice).mean()


def deep_supervision_loss(side_logits: Sequence[Tensor], target: Tensor) -> Tensor:
    """Equation (6) summed over the side outputs, each upsampled to the mask's size first."""
    return torch.stack([mask_loss(resize_like(logits, target), target) for logits in side_logits]).sum()


def mix(image: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Equation (3): each image mixed with another of the batch, λ ~ Beta(α, α).

    Returns:
        The mixed images (N, 1, H, W), λ (N,), and the partner of each (N,).
    """
    count = len(image)
    first = torch._standard_gamma(torch.full((count,), alpha), generator=generator)
    second = torch._standard_gamma(torch.full((count,), alpha), generator=generator)
    weight = first / (first + second).clamp_min(1e-8)
    partner = torch.roll(torch.arange(count), int(torch.randint(1, max(count, 2), (1,), generator=generator)))
    share = weight[:, None, None, None]
    return share * image + (1 - share) * image[partner], weight, partner


def mixed_cross_entropy(logits: Tensor, label: Tensor, weight: Tensor, partner: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy with the labels of equation (3)."""
    own = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)
    other = F.cross_entropy(logits, label[partner], reduction="none", label_smoothing=smoothing)
    return (weight * own + (1 - weight) * other).mean()


def activation_map_loss(activation_map: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    """L_seg, equation (4): distance of the normalized map from the mask, mean over images that have one.

    Images whose mask is unknown or empty are left out: a map divided by its largest value cannot be empty.

    Args:
        activation_map: (N, 1, h, w), not negative.
        mask: (N, 1, H, W) in 0..1; brought to the map's size by averaging.
        known: (N,), whether the mask counts.
    """
    height, width = activation_map.shape[-2:]
    target = F.adaptive_avg_pool2d(mask, (height, width))
    known = known & (target.amax((1, 2, 3)) > 0.25)
    if not bool(known.any()):
        return activation_map.sum() * 0
    difference = normalized(activation_map[known]) - target[known]
    distance: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return (distance / (height * width)).mean()


def off_target_share(activation_map: Tensor, lung: Tensor, mask: Tensor) -> Tensor:
    """Share of the map that lies far from the lungs, mean over images: what outlines or air gave.

    Our own, beside the paper's losses: labels alone leave the map free to look anywhere. A place of the map is far if
    no lung and no lesion is within `STRAY_REACH` of the picture's width around it.

    Args:
        activation_map: (N, 1, h, w), not negative.
        lung: (N, 1, H, W), bool.
        mask: (N, 1, H, W) in 0..1; consolidation is not in the mask of the lungs.
    """
    near = (lung | (mask > 0)).float()
    reach = max(1, round(STRAY_REACH * near.shape[-1]))
    near = F.max_pool2d(near, 2 * reach + 1, stride=1, padding=reach)
    far = (F.adaptive_max_pool2d(near, activation_map.shape[-2:]) == 0).float()
    height, width = activation_map.shape[-2:]
    evidence = activation_map * (height * width)  # as in `LesionReading`
    # Where there is hardly any evidence, its share means nothing.
    share: Tensor = (evidence * far).sum((1, 2, 3)) / (evidence.sum((1, 2, 3)) + 1.0)
    return share.mean()


class LesionReading(nn.Module):
    """Reads the activation map as lesion logits, by one scale and one offset that are learned and not shipped.

    L_seg compares shapes only: it divides each map by its largest value, so nothing says how much evidence there is,
    and uninfected slices take no part. Read like this the map itself, and with it the mean of it that decides, has to
    grow with the lesions and to be small where there are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.full((), -3.0))

    def forward(self, activation_map: Tensor, mask: Tensor, known: Tensor) -> Tensor:
        """Equation (6) between the map and the masks, empty ones included.

        Args:
            activation_map: (N, 1, h, w), not negative.
            mask: (N, 1, H, W) in 0..1; brought to the map's size by averaging.
            known: (N,), whether the mask counts.
        """
        if not bool(known.any()):
            return activation_map.sum() * 0
        height, width = activation_map.shape[-2:]
        # Equation (1) divides by the number of places; undone, a place counts alike whatever the map's size.
        evidence = activation_map[known] * (height * width)
        target = F.adaptive_avg_pool2d(mask[known], (height, width))
        return mask_loss(self.log_scale.exp() * evidence + self.offset, target)


def lesion_burden(probability: Tensor, lung: Tensor) -> Tensor:
    """(N,): share of the lungs that is lesion, by the mean of its probability, plus `LEAST_BURDEN`.

    Args:
        probability: (N, 1, H, W).
        lung: (N, 1, H, W), bool.
    """
    inside = lung.float()
    pixels = inside.sum((1, 2, 3)).clamp_min(SMALL_LUNG * inside[0].numel())
    return LEAST_BURDEN + (probability * inside).sum((1, 2, 3)) / pixels


class LesionBurden(nn.Module):
    """Reads from a segmenter's output whether a slice is infected, by one scale and one offset that are learned.

    Whoever marks opacities has said what a slice is. So the label of a slice that nobody outlined teaches as well: an
    infected slice must have something marked, an uninfected one nothing, wherever it is (multiple instance learning).
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.full((), -math.log(USUAL_BURDEN)))

    def forward(self, logits: Tensor, lung: Tensor, label: Tensor, smoothing: float) -> Tensor:
        """Cross-entropy between the labels and the logarithm of the burden, mean over slices.

        Args:
            logits: of lesion, (N, 1, H, W).
            lung: (N, 1, H, W), bool.
            label: (N,), 1 for infected slices, 0 for others, -1 for those that nobody labelled, which do not count.
            smoothing: of the labels.
        """
        known = label >= 0
        if not bool(known.any()):
            return logits.sum() * 0
        evidence = lesion_burden(torch.sigmoid(logits[known].float()), lung[known]).log()
        target = label[known].float() * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(self.scale * evidence + self.offset, target)
