"""Normalize slices of every source for the networks, and map results back to the voxel grid. Pure functions.

Normalized slices have intensity 0..1, where 0 is -1000 HU and 1 is +200 HU; they are upright axial slices, cropped to a
box around the lungs and resized to the network's input. Images without HU are mapped to the same scale by two anchors
that every chest slice has: aerated lung and soft tissue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

HU_WINDOW = (-1000.0, 200.0)
"""Lower and upper end, mapped to 0 and 1."""
LUNG_LEVEL = (-860.0 - HU_WINDOW[0]) / (HU_WINDOW[1] - HU_WINDOW[0])
"""Level of aerated lung (-860 HU) on the 0..1 scale."""
TISSUE_LEVEL = (40.0 - HU_WINDOW[0]) / (HU_WINDOW[1] - HU_WINDOW[0])
"""Level of soft tissue (40 HU) on the 0..1 scale."""
AIR_THRESHOLD = 0.5
"""Darker pixels are air or lung: -400 HU."""

CROPPED_RIM = 0.4
"""A picture with more tissue than this share along its rim is a crop to the lungs."""
BLACK = 2
"""Grey levels up to this are blank in a picture with padding."""

AERATED_PART = 0.2
"""At least this share of the dark pixels in the chest is taken as aerated lung..."""
AERATED_SPREAD = 0.06
"""...and its most frequent level exceeds that quantile by no more than this share of the distance to soft tissue
(measured: 0.05 or less on nine of ten uninfected slices). In a lung full of opacities that level is theirs."""

MAX_ANCHOR_DRIFT = 0.3
"""A slice's own anchors are used if they deviate from the study's by at most this share of its grey range."""

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class GreyAnchors:
    """Grey levels of aerated lung and of soft tissue in images without HU."""

    lung: float
    tissue: float

    def apply(self, grey: NDArray[np.generic]) -> Bytes:
        """Map grey levels of any shape to the common scale, 0..1 stored as 0..255."""
        levels = np.arange(256, dtype=np.float32)
        scale = (TISSUE_LEVEL - LUNG_LEVEL) / max(self.tissue - self.lung, 1.0)
        table = np.clip(LUNG_LEVEL + (levels - self.lung) * scale, 0, 1)
        return np.asarray((255 * table + 0.5).astype(np.uint8)[np.asarray(grey, dtype=np.uint8)])


def window_hu(hu: NDArray[np.generic]) -> Bytes:
    """Map HU of any shape to the common scale, 0..1 stored as 0..255 (4.7 HU a step)."""
    low, high = HU_WINDOW
    scaled = np.clip(hu, low, high).astype(np.float32)
    scaled -= low
    scaled *= 255 / (high - low)
    scaled += 0.5
    return np.asarray(scaled.astype(np.uint8))


def otsu_threshold(histogram: NDArray[np.float64]) -> int:
    """Threshold of a histogram of 256 levels (Otsu 1979)."""
    levels = np.arange(256)
    weight = np.cumsum(histogram)
    mean = np.cumsum(histogram * levels)
    total, total_mean = weight[-1], mean[-1]
    divides = (weight > 0) & (weight < total)  # a level with an empty side separates nothing
    between = np.zeros(256)
    between[divides] = (total_mean * weight[divides] / total - mean[divides]) ** 2 / (
        weight[divides] * (total - weight[divides])
    )
    return int(np.argmax(between))


def _mode(histogram: NDArray[np.float64], low: int, high: int) -> float:
    """Most frequent level in low..high (inclusive) of a smoothed histogram."""
    smooth = ndimage.gaussian_filter1d(histogram, 3.0, mode="nearest")
    return float(low + int(np.argmax(smooth[low : high + 1])))


def grey_anchors(slices: Bytes, inside: NDArray[np.bool_]) -> GreyAnchors:
    """Find the grey levels of lung and soft tissue in the slices of one study.

    Args:
        slices: (Z, H, W) grey levels 0..255.
        inside: (Z, H, W), False where a pixel is padding.

    The blank surround of a round field of view is left out first: under a wide window it is a class of its own. Otsu's
    threshold separates the two classes. Lung is the most frequent level among dark regions that do not reach a corner
    of the picture, which excludes the air around the patient. It is limited by the darkest fifth of these pixels, so
    that widespread opacity is not taken for aerated lung.
    """
    blank = np.stack([_blank_surround(image, own) for image, own in zip(slices, inside, strict=True)])
    histogram = np.bincount(slices[inside & ~blank], minlength=256).astype(np.float64)
    threshold = otsu_threshold(histogram)
    tissue = _mode(histogram, min(threshold + 1, 255), 255)
    enclosed = np.zeros(256)
    # With the blank surround, through which the air beside it reaches the corner.
    for image, own in zip(slices, inside, strict=True):
        dark = enclosed_regions((image <= threshold) & own, own)
        enclosed += np.bincount(image[dark], minlength=256)
    if not enclosed.any():
        enclosed = np.where(np.arange(256) <= threshold, histogram, 0)
    darkest = float(np.searchsorted(np.cumsum(enclosed), AERATED_PART * enclosed.sum()))
    lung = min(_mode(enclosed, 0, threshold), darkest + AERATED_SPREAD * (tissue - darkest))
    return GreyAnchors(lung, max(tissue, lung + 1.0))


def normalize_grey(slices: Bytes, inside: NDArray[np.bool_]) -> Bytes:
    """Map the grey slices of one study to the common scale.

    Each slice uses its own anchors, because pictures are often stretched one by one. Where these are far from the
    study's median, as on slices with little lung, the median is used.

    Args:
        slices: (Z, H, W) grey levels 0..255.
        inside: (Z, H, W), False where a pixel is padding.
    """
    own = [grey_anchors(image[None], mask[None]) for image, mask in zip(slices, inside, strict=True)]
    lung, tissue = (float(np.median([getattr(a, name) for a in own])) for name in ("lung", "tissue"))
    usual = GreyAnchors(lung, max(tissue, lung + 1))
    reach = MAX_ANCHOR_DRIFT * (usual.tissue - usual.lung)
    out = np.empty(slices.shape, np.uint8)
    for index, (image, anchors) in enumerate(zip(slices, own, strict=True)):
        near = abs(anchors.lung - usual.lung) < reach and abs(anchors.tissue - usual.tissue) < reach
        out[index] = (anchors if near else usual).apply(image)
    return out


def _corner_labels(labels: NDArray[np.integer[Any]], inside: NDArray[np.bool_]) -> NDArray[np.integer[Any]]:
    """Labels of (H, W) that reach a corner of the slice's own pixels; 0 (unlabelled) may be among them."""
    box = bounding_box(inside)
    if box is None:
        return np.zeros(0, np.int32)
    reach_y, reach_x = max(2, box.height // 40), max(2, box.width // 40)
    own = labels[box.top : box.bottom, box.left : box.right]
    corners = [
        own[rows, columns]
        for rows in (slice(reach_y), slice(-reach_y, None))
        for columns in (slice(reach_x), slice(-reach_x, None))
    ]
    return np.unique(np.concatenate([corner.ravel() for corner in corners]))


def _blank_surround(image: Bytes, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W): black pixels that are connected to a corner of the picture."""
    labels, _ = ndimage.label((image <= BLACK) & inside)
    return np.asarray((labels > 0) & np.isin(labels, _corner_labels(labels, inside)))


def _rim(values: NDArray[Any], box: Box) -> NDArray[Any]:
    """Values along the four sides of a box on (H, W)."""
    own = values[box.top : box.bottom, box.left : box.right]
    return np.concatenate([own[0], own[-1], own[:, 0], own[:, -1]])


def is_cropped(tissue: NDArray[np.bool_], inside: NDArray[np.bool_]) -> bool:
    """Whether a slice is a crop to the lungs: most of its rim is tissue.

    Args:
        tissue: (H, W), pixels that are not air.
        inside: (H, W), False where a pixel is padding.
    """
    box = bounding_box(inside)
    if box is None:
        return False
    return bool(_rim(tissue, box).mean() > CROPPED_RIM)


def enclosed_regions(dark: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Dark regions of a slice that the body encloses.

    Regions that reach a corner of the picture or lie along a side (the gap above a couch) are outside. In a crop to the
    lungs, lungs may be cut by the picture's edge.

    Args:
        dark: (H, W).
        inside: (H, W), False where a pixel is padding.
    """
    box = bounding_box(inside)
    if box is None:
        return np.zeros_like(dark)
    labels, count = ndimage.label(dark)
    contact = np.bincount(_rim(labels, box), minlength=count + 1)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    outside = contact > np.sqrt(area)
    outside[_corner_labels(labels, inside)] = True
    if is_cropped(~dark, inside):
        # Here lungs may lie along a side or reach a corner; only regions that follow the rim are outside.
        outside &= area < contact.astype(np.int64) ** 2 / 2
    outside[0] = True
    return np.asarray(~outside[labels])


@dataclass(frozen=True)
class Box:
    """Half-open ranges of rows and columns of a slice; may extend beyond the picture."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def inside(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Index of the box's rows and columns within a picture (H, W)."""
        height, width = shape
        return slice(max(self.top, 0), min(self.bottom, height)), slice(max(self.left, 0), min(self.right, width))

    def with_margin(self, share: float) -> Box:
        """The box, enlarged by a share of its size on every side."""
        dy, dx = round(self.height * share), round(self.width * share)
        return Box(self.top - dy, self.bottom + dy, self.left - dx, self.right + dx)

    def with_aspect(self, height: int, width: int) -> Box:
        """The smallest enclosing box with the same centre and the aspect ratio height to width."""
        rows = max(self.height, round(self.width * height / width))
        columns = max(self.width, round(self.height * width / height))
        top = self.top - (rows - self.height) // 2
        left = self.left - (columns - self.width) // 2
        return Box(top, top + rows, left, left + columns)


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """Bounding box of the True pixels in (H, W), or None."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def crop_resize(image: Bytes, box: Box, size: tuple[int, int]) -> Bytes:
    """Crop a box from (H, W) and resize it to `size` (height, width); outside the picture is air (0)."""
    height, width = image.shape
    piece = np.zeros((box.height, box.width), np.uint8)
    top, bottom = max(box.top, 0), min(box.bottom, height)
    left, right = max(box.left, 0), min(box.right, width)
    if top < bottom and left < right:
        piece[top - box.top : bottom - box.top, left - box.left : right - box.left] = image[top:bottom, left:right]
    # Pillow's bilinear filter averages when shrinking, so fine texture does not alias.
    return np.asarray(Image.fromarray(piece).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def paste_back(patch: Float, box: Box, shape: tuple[int, int]) -> Float:
    """Undo `crop_resize`: paste (h, w) values of the box onto a slice of `shape`, zero elsewhere."""
    height, width = shape
    resized = np.asarray(
        Image.fromarray(patch.astype(np.float32)).resize((box.width, box.height), Image.Resampling.BILINEAR)
    )
    out = np.zeros(shape, np.float32)
    top, bottom = max(box.top, 0), min(box.bottom, height)
    left, right = max(box.left, 0), min(box.right, width)
    if top < bottom and left < right:
        out[top:bottom, left:right] = resized[top - box.top : bottom - box.top, left - box.left : right - box.left]
    return out


def fit_square(image: Bytes, side: int) -> Bytes:
    """(H, W) in the middle of a square, resized to `side`; what is added is air (0)."""
    height, width = image.shape
    return crop_resize(image, Box(0, height, 0, width).with_aspect(1, 1), (side, side))


def from_square(patch: Float, shape: tuple[int, int]) -> Float:
    """Undo `fit_square`: (S, S) values back onto a slice of `shape`."""
    height, width = shape
    return paste_back(patch, Box(0, height, 0, width).with_aspect(1, 1), shape)


LUNG_MARGIN = 0.08
"""Margin around the lungs' bounding box, as a share of it: consolidated lung at the rim is not in the lung mask."""


def network_box(lungs: Box, size: tuple[int, int]) -> Box:
    """The box that a network with input `size` (height, width) sees: lungs and margin, without distortion."""
    return lungs.with_margin(LUNG_MARGIN).with_aspect(*size)
