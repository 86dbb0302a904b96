"""Lung mask by threshold and shape, on slices of the one form (see `preprocessing`)."""

from __future__ import annotations

from dataclasses import replace

import cc3d
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from jcs_ct.preprocessing import AIR_THRESHOLD, Box, Bytes, bounding_box, enclosed_regions, is_cropped

WORKING_SIZE = 256
"""Longer side of the grid on which lungs are sought; finer detail does not change the answer."""
MIN_SHARE_OF_LARGEST = 0.08
"""A dark region is lung only if it has at least this share of the largest one's size: leaves out gas and trachea."""
GAS_LEVEL = 0.058
"""Darker than this (-930 HU) is gas rather than lung; a region that is mostly so is bowel or stomach."""
MOSTLY = 0.65
"""Share of a region that makes it gas; lungs with emphysema have less of it."""
CLOSING_SHARE = 0.05
"""Vessels, walls and opacities up to this share of the slice's width are closed over."""
BODY_SIZE = 128
"""Longer side of the grid on which the outline of the body is taken."""
BACK_WALL = 0.15
"""The wall behind the lungs is this share of the body's depth (uninfected slices: median 0.13, 95 % up to 0.16)."""
CROPPED_BACK_WALL = 0.12
"""The same share of a crop to the lungs (95 % of slices have less behind the lungs)."""
MIN_LUNG_SHARE = 0.02
"""A slice is a lung slice if at least this share of its own pixels is lung..."""
MIN_SHARE_OF_FULLEST = 0.20
"""...and it has at least this share of the lung area of the study's fullest slices: the outermost ones show little but
partial volumes of diaphragm, stomach and chest wall, which look like opacities."""

_ROUNDING = 1e-9

Mask = NDArray[np.bool_]


def overview(slices: Bytes) -> Bytes:
    """(Z, H, W) with its longer side brought to `WORKING_SIZE` at most: the grid on which lungs are sought."""
    height, width = slices.shape[1:]
    step = max(height, width) / WORKING_SIZE
    if step <= 1:
        return slices
    size = (max(1, round(width / step)), max(1, round(height / step)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in slices])


def find_lungs(slices: Bytes, inside: Mask | None = None) -> Mask:
    """Lung mask of a stack.

    Args:
        slices: (Z, H, W), 0..1 stored as 0..255.
        inside: (Z, H, W), False where a pixel is padding; all True if None.

    Returns:
        (Z, H, W): aerated lung with what it encloses. Dense consolidation at the pleura can be left out; opacities
        found by the segmenter are added to the lung before shares are computed.
    """
    depth, height, width = slices.shape
    coarse = overview(slices)
    small = (coarse.shape[1], coarse.shape[2])
    dark = np.empty(coarse.shape, bool)
    for index, reduced in enumerate(coarse):
        own = np.ones(small, bool) if inside is None else _resized(inside[index], small)
        air = reduced < AIR_THRESHOLD * 255
        enclosed = enclosed_regions(air & own, own) & body_hull(~air & own, own)
        dark[index] = _without_gas(enclosed, reduced < GAS_LEVEL * 255)
    lungs = _closed(_large_components(dark))
    out = np.empty(slices.shape, bool)
    for index in range(depth):
        out[index] = _resized(lungs[index], (height, width))
    if inside is not None:
        out &= inside
    return out


def _resized(mask: Mask, shape: tuple[int, int]) -> Mask:
    if mask.shape == shape:
        return mask
    return np.asarray(
        Image.fromarray(mask.astype(np.uint8)).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    ).astype(bool)


def _without_gas(dark: Mask, gas: Mask) -> Mask:
    """Leave out the regions of a slice that are mostly gas. Across slices bowel can seem to touch the lung."""
    labels, count = ndimage.label(dark)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    lung = np.bincount(labels[gas], minlength=count + 1) <= MOSTLY * area
    lung[0] = False
    return np.asarray(lung[labels])


def convex_hull(mask: Mask) -> Mask:
    """Convex hull of what is True in (H, W): all pixels whose centres lie in the hull of the centres of these.

    Row by row between two chains: a tenth of the time of testing each pixel against each edge.
    """
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return mask
    shown = mask[rows]
    first, last = shown.argmax(1), mask.shape[1] - 1 - shown[:, ::-1].argmax(1)
    low = np.ceil(_convex_chain(rows, first) - _ROUNDING)[:, None]
    high = np.floor(-_convex_chain(rows, -last) + _ROUNDING)[:, None]
    columns = np.arange(mask.shape[1])
    out = np.zeros_like(mask)
    out[rows[0] : rows[-1] + 1] = (columns >= low) & (columns <= high)
    return out


def _convex_chain(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The convex line below points, at every row from the first to the last (Andrew's monotone chain)."""
    chain: list[tuple[int, int]] = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        while len(chain) > 1:
            (r0, c0), (r1, c1) = chain[-2:]
            if (c1 - c0) * (row - r0) < (column - c0) * (r1 - r0):
                break
            chain.pop()
        chain.append((row, column))
    corners = np.array(chain)
    return np.asarray(np.interp(np.arange(rows[0], rows[-1] + 1), corners[:, 0], corners[:, 1]))


def body_hull(tissue: Mask, inside: Mask) -> Mask:
    """Convex hull of the largest piece of tissue on a slice: leaves out the air between patient and couch.

    A crop to the lungs, most of whose rim is tissue, holds no such air and falls into pieces; all of it is kept.

    Args:
        tissue: (H, W), what is not air.
        inside: (H, W), False where a pixel is padding.
    """
    if is_cropped(tissue, inside):
        return inside
    # The opening parts the body from the couch, whose sheet is thinner than the body wall.
    opened = ndimage.binary_opening(tissue, np.ones((3, 3), bool), iterations=2)
    labels, count = ndimage.label(opened)
    if not count:
        return np.zeros_like(tissue)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return convex_hull(largest)


def _large_components(dark: Mask) -> Mask:
    """Keep the dark regions that are large beside the largest; thin bridges are opened first."""
    opened = ndimage.binary_opening(dark, np.ones((1, 3, 3), bool))
    labels = cc3d.connected_components(opened, connectivity=6)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if sizes.max(initial=0) == 0:
        return np.zeros_like(dark)
    keep = sizes >= MIN_SHARE_OF_LARGEST * sizes.max()
    keep[0] = False
    return np.asarray(keep[labels])


def _closed(lungs: Mask) -> Mask:
    """Close over vessels and small opacities slice by slice, and fill holes."""
    size = max(3, round(lungs.shape[2] * CLOSING_SHARE)) | 1
    pad = size
    padded = np.pad(lungs.astype(np.uint8), ((0, 0), (pad, pad), (pad, pad)))
    padded = ndimage.maximum_filter(padded, (1, size, size))
    padded = ndimage.minimum_filter(padded, (1, size, size))
    closed = padded[:, pad:-pad, pad:-pad].astype(bool)
    for index, mask in enumerate(closed):
        closed[index] = ndimage.binary_fill_holes(mask)
    return np.asarray(closed)


def lung_slices(lungs: Mask, inside: Mask | None = None) -> Mask:
    """(Z,): whether each slice of (Z, H, W) shows enough lung to be classified."""
    areas = lungs.sum((1, 2), dtype=np.int64)
    own = np.full(len(lungs), lungs[0].size) if inside is None else inside.sum((1, 2), dtype=np.int64)
    fullest = np.percentile(areas, 90)
    return np.asarray((areas >= MIN_LUNG_SHARE * own) & (areas >= MIN_SHARE_OF_FULLEST * fullest))


def lung_box(lungs: Mask, slices: Bytes) -> Box | None:
    """One box around the lungs of all slices: every slice is seen at one scale. None without lungs.

    The mask holds aerated lung, and consolidation gathers at the back, where one lies on it: the box reaches as far
    back as lungs do in the body that is seen.

    Args:
        lungs: (Z, H, W) lung mask of upright slices.
        slices: (Z, H, W), 0..1 stored as 0..255.
    """
    box = bounding_box(np.asarray(lungs.any(0)))
    if box is None:
        return None
    backs = [back for image in slices if (back := _back_of_lungs(image)) is not None]
    return replace(box, bottom=max(box.bottom, min(int(np.median(backs)), slices.shape[1]))) if backs else box


def _back_of_lungs(image: Bytes) -> float | None:
    """Row that lungs of the body on a slice (H, W) reach back to; None where no body is seen."""
    height, width = image.shape
    step = max(1.0, max(height, width) / BODY_SIZE)
    reduced = Image.fromarray(image).resize((round(width / step), round(height / step)), Image.Resampling.BOX)
    tissue = np.asarray(reduced) >= AIR_THRESHOLD * 255
    inside = np.ones(tissue.shape, bool)
    if is_cropped(tissue, inside):
        return float((1 - CROPPED_BACK_WALL) * height)
    body = bounding_box(body_hull(tissue, inside))
    return None if body is None else float(step * (body.bottom - BACK_WALL * body.height))


def quarter_turns(lungs: Mask) -> int:
    """Counter-clockwise quarter turns (0 or 1) that bring the two lungs side by side.

    For images that do not state their orientation. An upright chest is nearly symmetric left to right and not top to
    bottom; every slice votes with the difference.

    Args:
        lungs: (Z, H, W).
    """
    votes = []
    for mask in lungs:
        box = bounding_box(mask)
        if box is None:
            continue
        own = mask[box.top : box.bottom, box.left : box.right]
        votes.append(_overlap(own, own[:, ::-1]) - _overlap(own, own[::-1]) + np.log(box.width / box.height))
    return int(bool(votes) and float(np.mean(votes)) < 0)


def _overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))
