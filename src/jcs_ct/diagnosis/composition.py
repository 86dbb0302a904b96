"""Ground glass or consolidation: what an opacity is made of (Fleischner Society, Radiology 2008;246:697).

One level of density tells them apart, on the mean of what lies around a pixel within its opacity: single pixels are
noise, and what lies beside an opacity, lung or chest wall, says nothing of it. Crops are in the one form, so the level
means the same in HU studies and in pictures. Features of the segmenter's decoder told no more
(docs/decisions/015-ground-glass-or-consolidation.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.preprocessing import HU_WINDOW, Box, bounding_box

NEIGHBOURHOOD = 5
"""Side of the square, in pixels of a crop, whose opaque pixels decide for the one in its middle; about 7 mm."""


def dense_parts(crop: NDArray[np.uint8], opacity: NDArray[np.bool_], level_hu: float) -> NDArray[np.bool_]:
    """Where opacities are consolidated.

    Args:
        crop: (h, w) in the one form.
        opacity: (h, w).
        level_hu: consolidation is denser; between the ends of `preprocessing.HU_WINDOW`.

    Returns:
        (h, w): also True up to two pixels beside a consolidated rim, so that resizing takes nothing off it. Only what
        lies in an opacity has a meaning.
    """
    out = np.zeros(opacity.shape, bool)
    box = bounding_box(opacity)
    if box is None:
        return out
    reach = NEIGHBOURHOOD // 2
    own = Box(box.top - reach, box.bottom + reach, box.left - reach, box.right + reach).inside(opacity.shape)
    # The mean over the opaque pixels lies above the level where the sum of what exceeds it is positive.
    above = np.where(opacity[own], crop[own] - np.float32(_stored(level_hu)), np.float32(0))
    out[own] = ndimage.uniform_filter(above, NEIGHBOURHOOD, mode="constant") > _ROUNDING
    return out


_ROUNDING = 1e-3
"""Running sums of float32 leave less than this where the truth is 0."""


def _stored(hu: float) -> float:
    """HU as slices in the one form store them, 0..255."""
    low, high = HU_WINDOW
    return 255 * (hu - low) / (high - low)
