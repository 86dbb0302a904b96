"""Metrics. Each states what it averages over: Dice per image and pooled Dice differ by five points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FALSELY_MARKED_SHARE = 0.01
"""An uninfected slice counts as falsely marked if more than this share of its lung is."""

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""Candidates where the best threshold is searched."""


def dice_per_image(predicted: Any, truth: Any) -> Any:
    """Dice of each image, 2·|P∩G| / (|P|+|G|); 1 where both are empty.

    Args:
        predicted: (N, ...) of bool, NumPy or torch.
        truth: the same.

    Returns:
        (N,) of the same library.
    """
    axes = tuple(range(1, predicted.ndim))
    overlap = (predicted & truth).sum(axes)
    total = predicted.sum(axes) + truth.sum(axes)
    return (2 * overlap + (total == 0)) / (total + (total == 0))


def dice_by_threshold(values: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(len(THRESHOLDS),): Dice of one image above each threshold.

    Args:
        values: (H, W) in 0..1.
        mask: (H, W).
    """
    above = values > np.array(THRESHOLDS)[:, None, None]
    return np.asarray(dice_per_image(above, np.broadcast_to(mask, above.shape)), np.float64)


def pooled_dice(overlaps: Sequence[int], totals: Sequence[int]) -> float:
    """Dice over the pixels of all images together; 1 where all are empty.

    Args:
        overlaps: |P∩G| of each image.
        totals: |P|+|G| of each image.
    """
    return 2 * sum(overlaps) / sum(totals) if sum(totals) else 1.0


def roc_auc(positive: NDArray[np.bool_], score: NDArray[np.floating[Any]]) -> float | None:
    """Area under the ROC curve by ranks (ties count half); None where a class is missing."""
    count = int(positive.sum())
    others = len(positive) - count
    if count == 0 or others == 0:
        return None
    ranks = stats.rankdata(score)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def sensitivity_specificity(positive: NDArray[np.bool_], called: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of positives called positive, and of negatives called negative; NaN if a class is missing."""
    with np.errstate(invalid="ignore"):
        return (
            float(np.float64((called & positive).sum()) / positive.sum()),
            float(np.float64((~called & ~positive).sum()) / (~positive).sum()),
        )


def bootstrap_interval(
    figure: Callable[[NDArray[np.int64]], float | None],
    groups: NDArray[Any],
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    centred: bool = False,
) -> tuple[float, float]:
    """Percentile interval of a figure under resampling of whole groups (patients) with replacement.

    Args:
        figure: takes positions (M,) of the drawn members, returns the figure or None where it is not defined.
        groups: (N,) group of each member.
        draws: number of resamples.
        level: of the interval.
        seed: of the resampling.
        centred: subtract the bootstrap estimate of bias, the mean over all draws minus the figure itself, and cut the
            bounds at 0. For figures such as ECE that are never negative and grow with sampling noise: a draw repeats
            patients, which raises them, so the plain interval can lie above the figure.
    """
    random = np.random.default_rng(seed)
    names, index = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(index == k) for k in range(len(names))]
    drawn = (random.integers(len(names), size=len(names)) for _ in range(draws))
    found = (figure(np.concatenate([members[k] for k in each])) for each in drawn)
    values = np.array([value for value in found if value is not None])
    if not len(values):
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    if centred:
        itself = figure(np.arange(len(groups)))
        bias = 0.0 if itself is None else values.mean() - itself
        low, high = max(low - bias, 0.0), max(high - bias, 0.0)
    return float(low), float(high)


def auc_interval(
    positive: NDArray[np.bool_], score: NDArray[np.floating[Any]], groups: NDArray[Any]
) -> tuple[float, float]:
    """`bootstrap_interval` of `roc_auc`; draws in which a class is missing do not count."""
    return bootstrap_interval(lambda chosen: roc_auc(positive[chosen], score[chosen]), groups)
