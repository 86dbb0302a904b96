"""Probability of infection and activation map of every lung slice (paper §III-A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from jcs_ct.engine import Network
from jcs_ct.evaluation.calibration import LIMIT, PlattScaling

INFECTED = 1
"""Index of the infected class in the classifier's logits."""

Progress = Callable[[int], None]
"""Called with the number of slices just done."""


@dataclass(frozen=True)
class Scores:
    """The classifier's output for the lung slices, in their order."""

    probabilities: NDArray[np.float32]
    """(M,): calibrated if the weights hold a calibration."""
    activation_maps: NDArray[np.float32]
    """(M, h, w) at the classifier's stride, not negative: equations (1) and (2)."""
    features: NDArray[np.float32] | None = None
    """(M, C): input of the last layer; None if the network does not return it."""
    atypicality: NDArray[np.float32] | None = None
    """(M,): distance from the training slices; None if none was fitted."""
    raw: NDArray[np.float32] | None = None
    """(M,): the probabilities before calibration; None if they are those above."""

    @property
    def margins(self) -> NDArray[np.float64]:
        """(M,): logit(infected) - logit(uninfected) before calibration."""
        raw = self.probabilities if self.raw is None else self.raw
        return np.asarray(special.logit(np.clip(raw.astype(np.float64), LIMIT, 1 - LIMIT)), np.float64)


def classify(
    network: Network,
    crops: NDArray[np.uint8],
    progress: Progress | None = None,
    calibration: PlattScaling | None = None,
    mirrored: bool = False,
) -> Scores:
    """Classify slices.

    Args:
        network: the classifier.
        crops: (M, h, w).
        progress: called with the number of slices just done.
        calibration: of the probability; not calibrated if None.
        mirrored: also run on each slice mirrored; probability and map are averaged, features are those of the slice
            itself, as typical slices are fitted on such.
    """
    probabilities: list[NDArray[np.float32]] = []
    maps: list[NDArray[np.float32]] = []
    pooled: list[NDArray[np.float32]] = []
    for logits, activation, *features in network.run(crops):
        probabilities.append(_probability(logits))
        maps.append(activation[:, 0])
        pooled += features
        if progress is not None:
            progress(len(logits))
    probability, activations = np.concatenate(probabilities), np.concatenate(maps)
    if mirrored:
        other = classify(network, crops[:, :, ::-1])
        probability += other.probabilities
        activations += other.activation_maps[..., ::-1]
        probability /= 2
        activations /= 2
    calibrated = probability if calibration is None else calibration.apply(probability)
    return Scores(calibrated, activations, np.concatenate(pooled) if pooled else None, raw=probability)


def _probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over (N, 2), infected class."""
    margin = logits[:, INFECTED] - logits[:, 1 - INFECTED]
    return np.asarray(1 / (1 + np.exp(-np.clip(margin, -60, 60))), np.float32)
