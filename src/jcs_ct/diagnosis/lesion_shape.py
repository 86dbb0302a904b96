"""Diameters of opacities and their distance to the pleura, on axial slices as radiologists measure them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, KDTree
from scipy.spatial.distance import pdist, squareform

from jcs_ct.diagnosis.lung_regions import filled
from jcs_ct.preprocessing import bounding_box

# A pixel's diameter is taken between the middles of its edges: exact along rows and columns, and less than a pixel off
# along diagonals, where corners would add and centres would take away 0.4 pixels at each end.
_EDGES = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])

_AROUND = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Diameters:
    """The longest diameter of an opacity on one slice, and the extent across it."""

    long_axis_mm: float
    perpendicular_mm: float
    index: int
    """The slice."""


def axial_diameters(labels: NDArray[np.uint16], count: int, pixel_spacing: tuple[float, float]) -> dict[int, Diameters]:
    """By id: the longest diameter over all slices (RECIST 1.1 measures in the axial plane) and the one across it.

    Args:
        labels: (Z, H, W), ids up to `count`.
        count: number of opacities.
        pixel_spacing: between rows and between columns, mm.
    """
    best: dict[int, Diameters] = {}
    for z in np.flatnonzero(labels.any((1, 2))):
        boxes: Sequence[tuple[slice, ...] | None] = ndimage.find_objects(labels[z], max_label=count)
        for k, box in enumerate(boxes, start=1):
            if box is None:
                continue
            mask = labels[z][box] == k
            longest = np.hypot(mask.shape[0] * pixel_spacing[0], mask.shape[1] * pixel_spacing[1])
            if k in best and best[k].long_axis_mm >= longest:  # no diagonal of this box is longer
                continue
            long_axis, across = planar_diameters(mask, pixel_spacing)
            if k not in best or best[k].long_axis_mm < long_axis:
                best[k] = Diameters(long_axis, across, int(z))
    return best


def planar_diameters(mask: NDArray[np.bool_], pixel_spacing: tuple[float, float]) -> tuple[float, float]:
    """Longest diameter of (H, W) and the extent at a right angle to it, in mm, from edge to edge."""
    rows = np.flatnonzero(mask.any(1))
    first = mask[rows].argmax(1)
    last = mask.shape[1] - 1 - mask[rows][:, ::-1].argmax(1)
    ends = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)]).astype(np.float64)
    points = (ends[:, None] + _EDGES).reshape(-1, 2) * pixel_spacing
    hull = points[ConvexHull(points).vertices]
    distances = squareform(pdist(hull))
    a, b = np.unravel_index(int(distances.argmax()), distances.shape)
    along = (hull[b] - hull[a]) / distances[a, b]
    across = hull @ np.array([-along[1], along[0]])
    return float(distances[a, b]), float(np.ptp(across))


def pleural_distances(
    labels: NDArray[np.uint16], count: int, lungs: NDArray[np.bool_], pixel_spacing: tuple[float, float]
) -> NDArray[np.float64]:
    """(count + 1,): mm of lung between each opacity and the edge of the lung, 0 where they touch.

    Measured within axial slices, so that gaps between slices do not matter; to the chest wall, the mediastinum or the
    diaphragm, whichever is nearest. Fissures do not show in a lung mask. Infinite where no edge is seen.

    Args:
        labels: (Z, H, W), ids up to `count`.
        count: number of opacities.
        lungs: (Z, H, W); holes in it (vessels) are no pleura.
        pixel_spacing: between rows and between columns, mm.
    """
    nearest = np.full(count + 1, np.inf)
    for z in np.flatnonzero(labels.any((1, 2))):
        box = bounding_box(lungs[z] | (labels[z] > 0))
        if box is None:
            continue
        # One pixel of what is around the lungs has to be seen; the rest only takes time.
        rows, columns = (slice(max(a - 1, 0), b + 1) for a, b in ((box.top, box.bottom), (box.left, box.right)))
        ids = labels[z, rows, columns]
        lung = filled(lungs[z, rows, columns] | (ids > 0))
        outside = np.argwhere(ndimage.binary_dilation(lung, _AROUND) & ~lung)
        own = ids > 0
        rim = own & ~ndimage.binary_erosion(own, _AROUND)
        inner = np.argwhere(rim)
        if not len(outside):
            continue
        _, found = KDTree(outside * pixel_spacing).query(inner * pixel_spacing)
        # Pixels are squares: what lies between two of them is a pixel less than from centre to centre.
        steps = np.maximum(np.abs(inner - outside[found]) - 1, 0) * pixel_spacing
        np.minimum.at(nearest, ids[rim], np.hypot(steps[:, 0], steps[:, 1]))
    return nearest
