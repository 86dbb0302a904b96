"""Number, size and position of the opacities in a reader's masks (paper, Figures 6, 8 and 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Opacity:
    """One opacity on one slice: a 4-connected component."""

    area: int
    """Pixels."""
    x: float
    """Column of its centroid, as a share of the slice's width: 0 is the left of the picture, 1 the right."""
    y: float
    """Row of its centroid, as a share of the slice's height from the top."""
    width: int
    """Pixels of its bounding box."""
    height: int


def opacities(mask: NDArray[np.bool_]) -> tuple[Opacity, ...]:
    """The opacities of a slice.

    Args:
        mask: (H, W).
    """
    labels, count = ndimage.label(mask)
    if not count:
        return ()
    rows, columns = mask.shape
    numbers = np.arange(1, count + 1)
    areas = np.bincount(labels.ravel())[1:]
    centres = np.array(ndimage.center_of_mass(mask, labels, numbers), np.float64)  # (count, 2)
    return tuple(
        Opacity(
            int(area),
            (float(centre[1]) + 0.5) / columns,
            (float(centre[0]) + 0.5) / rows,
            across.stop - across.start,
            down.stop - down.start,
        )
        for area, centre, (down, across) in zip(areas, centres, ndimage.find_objects(labels), strict=True)
    )


def share_of_lung(mask: NDArray[np.bool_], lungs: NDArray[np.bool_]) -> float:
    """Share of the lung (H, W), opacities included, that is marked as opacity."""
    return float(mask.sum() / max(int((lungs | mask).sum()), 1))


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Count, mean, extremes and quartiles; None where there are no values."""
    if not len(values):
        return None
    low, first, middle, third, high = np.quantile(np.asarray(values, float), [0, 0.25, 0.5, 0.75, 1])
    return {
        "count": len(values),
        "mean": float(np.mean(values)),
        "min": float(low),
        "q25": float(first),
        "median": float(middle),
        "q75": float(third),
        "max": float(high),
    }
