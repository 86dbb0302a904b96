"""Diameters of opacities and their distance to the pleura, on axial slices as radiologists measure them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, KDTree
from scipy.spatial.distance import pdist, squareform

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import Volume, crop_of, shown_slices
from jcs_ct.morphology import dilated, eroded, filled
from jcs_ct.preprocessing import bounding_box

# A pixel's diameter is taken between the middles of its edges: exact along rows and columns, and less than a pixel off
# along diagonals, where corners would add and centres would take away 0.4 pixels at each end.
_EDGES = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])


@dataclass(frozen=True)
class Diameters:
    """The longest diameter of an opacity on one slice, and the extent across it."""

    long_axis_mm: float
    perpendicular_mm: float
    index: int
    """The slice."""


def axial_diameters(labels: Volume[np.uint16], count: int, pixel_spacing: tuple[float, float]) -> dict[int, Diameters]:
    """By id: the longest diameter over all slices (RECIST 1.1 measures in the axial plane) and the one across it.

    Args:
        labels: (Z, H, W), ids up to `count`.
        count: number of opacities.
        pixel_spacing: between rows and between columns, mm.
    """
    crops = [(z, crop.values) for z in shown_slices(labels) if (crop := crop_of(labels, z)) is not None]

    def boxes_on(crop: tuple[int, NDArray[np.uint16]]) -> Sequence[tuple[slice, ...] | None]:
        return ndimage.find_objects(crop[1], max_label=count)

    found = parallel_map(boxes_on, crops)
    best: dict[int, Diameters] = {}
    for (z, values), boxes in zip(crops, found, strict=True):
        for k, box in enumerate(boxes, start=1):
            if box is None:
                continue
            mask = values[box] == k
            longest = np.hypot(mask.shape[0] * pixel_spacing[0], mask.shape[1] * pixel_spacing[1])
            if k in best and best[k].long_axis_mm >= longest:  # no diagonal of this box is longer
                continue
            long_axis, across = planar_diameters(mask, pixel_spacing)
            if k not in best or best[k].long_axis_mm < long_axis:
                best[k] = Diameters(long_axis, across, z)
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
    labels: Volume[np.uint16], count: int, lungs: Volume[np.bool_], pixel_spacing: tuple[float, float]
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
    found = parallel_map(lambda z: _distances_on_slice(labels[z], lungs[z], pixel_spacing), shown_slices(labels))
    nearest = np.full(count + 1, np.inf)
    for ids, distances in found:
        np.minimum.at(nearest, ids, distances)
    return nearest


def _distances_on_slice(
    labels: NDArray[np.uint16], lungs: NDArray[np.bool_], pixel_spacing: tuple[float, float]
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Ids of pixels at the rim of opacities (H, W), and how far each of them is from the edge of the lung."""
    lung = lungs | (labels > 0)
    box = bounding_box(lung)
    if box is None:
        return np.zeros(0, np.uint16), np.zeros(0)
    # One pixel of what is around the lungs has to be seen; the rest only takes time.
    rows, columns = (slice(max(a - 1, 0), b + 1) for a, b in ((box.top, box.bottom), (box.left, box.right)))
    ids, lung = labels[rows, columns], filled(lung[rows, columns])
    outside = np.argwhere(dilated(lung, 1) & ~lung)
    rim = (ids > 0) & ~eroded(ids > 0, 1)
    inner = np.argwhere(rim)
    if not len(outside):
        return np.zeros(0, np.uint16), np.zeros(0)
    _, nearest = KDTree(outside * pixel_spacing).query(inner * pixel_spacing)
    # Pixels are squares: what lies between two of them is a pixel less than from centre to centre.
    steps = np.maximum(np.abs(inner - outside[nearest]) - 1, 0) * pixel_spacing
    return ids[rim], np.hypot(steps[:, 0], steps[:, 1])
