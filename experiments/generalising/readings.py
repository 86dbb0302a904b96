"""How the marks on a slice become one number, from which a slice is called infected or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from experiments.generalising.figures import auc
from numpy.typing import NDArray

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.training.losses import lesion_burden

Probabilities = NDArray[np.float32]
"""(N, H, W) of lesion."""
NOTHING = 1e-6
"""Added before the logarithm, for slices without any mark."""


def burden(probability: Probabilities, lung: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N,): share of the lungs that is lesion; see `losses.lesion_burden`."""
    return lesion_burden(torch.from_numpy(probability)[:, None], torch.from_numpy(lung)[:, None]).numpy()


def marked_share(probability: Probabilities, lung: NDArray[np.bool_], above: float) -> NDArray[np.float32]:
    """(N,): share of the lungs whose probability is above a limit, plus `LEAST_BURDEN` as in `burden`."""
    return burden((probability > above).astype(np.float32), lung)


def surest(probability: Probabilities, lung: NDArray[np.bool_], pixels: int) -> NDArray[np.float32]:
    """(N,): mean over the pixels of the lungs with the highest probability."""
    inside = np.where(lung, probability, 0).reshape(len(probability), -1)
    return np.asarray(-np.partition(-inside, pixels, 1)[:, :pixels].mean(1), np.float32)


READINGS: dict[str, Callable[[Probabilities, NDArray[np.bool_]], NDArray[np.float32]]] = {
    "lesion burden": burden,
    "share above 0.3": partial(marked_share, above=0.3),
    "share above 0.5": partial(marked_share, above=0.5),
    "surest 10 pixels": partial(surest, pixels=10),
    "surest 200 pixels": partial(surest, pixels=200),
}
"""How the marks on a slice become one number."""


def evidence(name: str, marks: Probabilities, slices: PreparedSlices) -> NDArray[np.float64]:
    """(N,): logarithm of a reading, because evidence does not double with the marks."""
    return np.log(READINGS[name](marks, slices.lung_masks).astype(np.float64) + NOTHING)


def best_reading(known: Sequence[tuple[Probabilities, PreparedSlices]]) -> str:
    """The reading with the highest mean AUC over some sets of marks and slices."""

    def mean_auc(name: str) -> float:
        return float(np.mean([auc(s.infected == 1, READINGS[name](marks, s.lung_masks)) for marks, s in known]))

    return max(READINGS, key=mean_auc)
