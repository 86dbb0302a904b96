"""Outlines of opacities on suspect slices (paper §III-B, III-C)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.classify import Progress
from jcs_ct.engine import Network


def segment(network: Network, crops: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float32]:
    """Lesion probability of slices (M, h, w), each seen as it is and mirrored: the mean of the two, (M, h, w)."""
    out = np.empty(crops.shape, np.float32)
    done = 0
    for plain, mirrored in zip(network.run(crops), network.run(crops[:, :, ::-1]), strict=True):
        count = len(plain[0])
        out[done : done + count] = (_sigmoid(plain[0]) + _sigmoid(mirrored[0])[..., ::-1])[:, 0] / 2
        done += count
        if progress is not None:
            progress(count)
    return out


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)
