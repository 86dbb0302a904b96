"""The orientation of a study by the vote of the lung network, which sees a few slices in all eight ways.

An orientation is `4 * mirrored + turns`: an upright slice, mirrored left to right or not, then turned counter-clockwise
by quarters. 0 is upright with the patient's right on the left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

COUNT = 8


def oriented(images: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(..., H, W) upright to how it lies in an orientation."""
    mirrored = images[..., ::-1] if orientation >= COUNT // 2 else images
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4, (-2, -1)))


def upright(images: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(..., H, W) that lies in an orientation, set upright: undoes `oriented`."""
    turned = np.rot90(images, -(orientation % 4), (-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if orientation >= COUNT // 2 else turned)


def _seen_as() -> NDArray[np.int64]:
    """(8, 8): in which orientation a slice that lies in `column` is seen when set upright as if it lay in `row`."""
    one = np.arange(4).reshape(2, 2)
    known = {oriented(one, k).tobytes(): k for k in range(COUNT)}
    return np.array(
        [[known[upright(oriented(one, true), taken).tobytes()] for true in range(COUNT)] for taken in range(COUNT)]
    )


SEEN_AS = _seen_as()


def vote(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(8,): probability of each orientation of a study.

    Args:
        logits: (8, N, 8), the lung network's second output for the same N slices, set `upright` as if they lay in the
            first, second, ... orientation.
    """
    log_probability = special.log_softmax(logits.astype(np.float64), axis=-1).mean(1)  # (8, N, 8) -> (8, 8)
    score = np.take_along_axis(log_probability, SEEN_AS, 1).sum(0)
    return np.asarray(special.softmax(score), np.float64)
