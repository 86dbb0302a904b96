"""Outlines of opacities on suspect slices (paper §III-B, III-C)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.diagnosis.classify import Progress
from jcs_ct.engine import Network

CANDIDATE = 0.25
"""Pixels above this belong to one opacity where they touch."""


def segment(
    network: Network,
    crops: NDArray[np.uint8],
    regions: NDArray[np.bool_],
    progress: Progress | None = None,
    mirrored: bool = False,
) -> NDArray[np.float32]:
    """Lesion probability of slices.

    Args:
        network: the segmenter.
        crops: (M, h, w).
        regions: (M, h, w), the convex hulls of the lungs; opacities that do not reach into them are dropped.
        progress: called with the number of slices just done.
        mirrored: see each slice mirrored as well; the probability is the mean of the two.

    Returns:
        (M, h, w).
    """
    out = _probabilities(network, crops, progress)
    if mirrored:
        out += _probabilities(network, crops[:, :, ::-1])[:, :, ::-1]
        out /= 2
    for patch, region in zip(out, regions, strict=True):
        _drop_unreachable(patch, region)
    return out


def _probabilities(network: Network, crops: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float32]:
    out = np.empty(crops.shape, np.float32)
    done = 0
    for (logits,) in network.run(crops):
        count = len(logits)
        out[done : done + count] = _sigmoid(logits)[:, 0]
        done += count
        if progress is not None:
            progress(count)
    return out


def _drop_unreachable(patch: NDArray[np.float32], region: NDArray[np.bool_]) -> None:
    """Clear, in place, opacities of (h, w) that lie wholly outside the region.

    Not everything outside is cleared: a lobe that is dense throughout lies outside the hull of what is still aerated.
    """
    labels, count = ndimage.label(patch > CANDIDATE)
    if count:
        reached = np.zeros(count + 1, bool)
        reached[np.unique(labels[region])] = True
        reached[0] = True
        patch[~reached[labels]] = 0


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)
