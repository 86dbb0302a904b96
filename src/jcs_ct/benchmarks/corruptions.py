"""Pictures that are no chest CT in the one form, made of slices that are: what a classifier ought to refuse.

Each is what a real fault of an input looks like to a network: a wrong window, a turned or inverted picture, a lossy or
noisy one, lungs that are not there. Nothing was fitted on them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Crop = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Change = Callable[[Crop, Mask, np.random.Generator], Crop]
"""What becomes of a crop (h, w), given the region of the lungs (h, w)."""

WALL_GREY, WALL_NOISE = 190, 12
"""Soft tissue in the one form, and its noise."""


def _grey(values: NDArray[np.floating]) -> Crop:
    return np.clip(values, 0, 255).astype(np.uint8)


def _noisy(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    return _grey(crop + random.normal(0, 60, crop.shape))


def _noise(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    return random.integers(0, 256, crop.shape, dtype=np.uint8)


def _turned(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    height, width = crop.shape
    return np.asarray(ndimage.zoom(np.rot90(crop), (height / width, width / height), order=1), np.uint8)


def _pixelated(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    height, width = crop.shape
    return np.kron(crop[8::16, 8::16], np.ones((16, 16), np.uint8))[:height, :width]


def _shuffled(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    """Cut into 7 times 9 pieces that are put back in another order."""
    rows = [np.array_split(band, 9, axis=1) for band in np.array_split(crop, 7, axis=0)]
    order = random.permutation(63)
    if len({piece.shape for band in rows for piece in band}) > 1:
        return crop[random.permutation(len(crop))]
    pieces = [rows[k // 9][k % 9] for k in order]
    return np.block([pieces[9 * k : 9 * k + 9] for k in range(7)])


def _filled(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    return np.where(lungs, _grey(random.normal(WALL_GREY, WALL_NOISE, crop.shape)), crop)


def _half(crop: Crop, lungs: Mask, random: np.random.Generator) -> Crop:
    return np.where(np.arange(crop.shape[1]) < crop.shape[1] // 2, crop, 0).astype(np.uint8)


CORRUPTIONS: dict[str, Change] = {
    "inverted": lambda crop, lungs, random: np.asarray(255 - crop, np.uint8),
    "upside_down": lambda crop, lungs, random: crop[::-1],
    "turned_90": _turned,
    "turned_30": lambda crop, lungs, random: np.asarray(ndimage.rotate(crop, 30, reshape=False, order=1), np.uint8),
    "noisy": _noisy,
    "noise": _noise,
    "blurred": lambda crop, lungs, random: np.asarray(ndimage.gaussian_filter(crop, 6), np.uint8),
    "pixelated": _pixelated,
    "shuffled": _shuffled,
    "lungs_black": lambda crop, lungs, random: np.where(lungs, 0, crop).astype(np.uint8),
    "lungs_filled": _filled,
    "lungs_only": lambda crop, lungs, random: np.where(lungs, crop, 0).astype(np.uint8),
    "half_missing": _half,
    "narrow_window": lambda crop, lungs, random: _grey(4.0 * crop - 448),
    "dark": lambda crop, lungs, random: _grey(0.35 * crop),
    "bright": lambda crop, lungs, random: _grey(0.4 * crop + 150),
}
