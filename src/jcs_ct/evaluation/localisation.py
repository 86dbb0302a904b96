"""Metrics of where activation maps point: the paper's Figure 9 in numbers.

A map tells the location and not the amount, so each map is first divided by its maximum, as in equation (4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct.evaluation.metrics import THRESHOLDS, dice_by_threshold


@dataclass(frozen=True)
class Localisation:
    """Metrics of several maps, each compared with its slice's mask."""

    hits: NDArray[np.bool_]
    """(N,) pointing game: whether the maximum lies in a lesion (Zhang et al., IJCV 2018), without tolerance."""
    energy: NDArray[np.float64]
    """(N,) share of the map that lies in lesions (Wang et al., CVPR Workshops 2020); 0 where a map is empty."""
    chance: NDArray[np.float64]
    """(N,) share of the picture that lesions cover: the energy of a constant map."""
    dice: NDArray[np.float64]
    """(N, len(THRESHOLDS)) of the map above each threshold, which is a share of its largest value."""

    @property
    def pointing_game(self) -> float:
        """Share of hits."""
        return float(self.hits.mean())

    @property
    def times_chance(self) -> float:
        """Mean energy over mean chance; no mean of ratios, as large lesions cannot exceed chance by much."""
        return float(self.energy.mean() / self.chance.mean())

    @property
    def best(self) -> tuple[float, float]:
        """The threshold, one for all slices, with the highest mean Dice per image, and that Dice."""
        means = self.dice.mean(0)
        index = int(means.argmax())
        return THRESHOLDS[index], float(means[index])


def localisation(maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[np.bool_]]) -> Localisation:
    """Compare maps with masks on the same pixels.

    Args:
        maps: (H, W) each, not negative, of any scale; slices may differ in size.
        masks: (H, W) each, at least one pixel of each True.
    """
    rows = [_of_one(np.asarray(each, np.float64), mask) for each, mask in zip(maps, masks, strict=True)]
    hits, energy, chance, dice = zip(*rows, strict=True)
    return Localisation(np.array(hits), np.array(energy), np.array(chance), np.array(dice))


def _of_one(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> tuple[bool, float, float, NDArray[np.float64]]:
    if values.shape != mask.shape or not mask.any():
        raise ValueError(f"expected a mask of {values.shape} that marks something, found {mask.shape}, {mask.sum()}")
    total, largest = values.sum(), values.max()
    chance = float(mask.mean())
    if not total > 0:
        return False, 0.0, chance, np.zeros(len(THRESHOLDS))
    dice = dice_by_threshold(values / largest, mask)
    return bool(mask.flat[values.argmax()]), float(values[mask].sum() / total), chance, dice
