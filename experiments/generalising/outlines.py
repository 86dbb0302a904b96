"""Five folds by slice on the slices that a reader outlined: the protocol of MiniSeg's published figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from experiments.generalising import results as protocol_results
from experiments.generalising.results import Figures, Result
from experiments.generalising.runs import encoder_of, predict_slices, train_runs
from experiments.workspace import Workspace
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.normalized import normalize_slice
from jcs_ct.datasets.prepared import prepare
from jcs_ct.evaluation.metrics import THRESHOLDS, bootstrap_interval, dice_by_threshold, pooled_dice
from jcs_ct.training.config import TrainConfig, load_config

FOLDED, COUNT = "covid-19-ct100", 5
THRESHOLD = 0.5
Pairs = list[tuple[NDArray[np.float32], NDArray[np.bool_]]]
"""Lesion probability and reader's mask, (H, W) each, of some slices."""


def outlines_config(number: int, workspace: Workspace) -> TrainConfig:
    """The segmenter of one fold, trained on the four others; its last weights are kept."""
    config = load_config(protocol_results.CONFIGS / "outlines.yaml")
    settings = workspace.settings | {"fold": f"{FOLDED}:{number}of{COUNT}"}
    return replace(config, init=encoder_of(config.size, workspace), **settings)


def outlines(workspace: Workspace) -> list[Result]:
    """Every slice once, outlined by a segmenter that was not trained on it, at the slice's own resolution."""
    runs = {f"outlines{number}": outlines_config(number, workspace) for number in range(1, COUNT + 1)}
    train_runs(runs, workspace)
    results = []
    for mirrored, look in ((False, "one look at a slice"), (True, "its mirror image looked at as well")):
        folds = [_outlined(name, config, mirrored, workspace) for name, config in runs.items()]
        results.append(Result(FOLDED, f"{COUNT} folds by slice, threshold {THRESHOLD}; {look}", _figures(folds)))
    return results


def _figures(folds: list[Pairs]) -> Figures:
    by_threshold = [np.stack([dice_by_threshold(*pair) for pair in fold]) for fold in folds]
    each = [dice[:, THRESHOLDS.index(THRESHOLD)] for dice in by_threshold]
    every = np.concatenate(each)
    marked = [(said > THRESHOLD, truth) for fold in folds for said, truth in fold]
    return {
        "slices": len(every),
        "Dice per image": float(every.mean()),
        "Dice per image, 95 % interval": list(_interval(every)),
        "Dice over all pixels": pooled_dice(
            [int((one & truth).sum()) for one, truth in marked], [int(one.sum() + truth.sum()) for one, truth in marked]
        ),
        "Dice per image of each fold": [round(float(dice.mean()), 3) for dice in each],
        "Dice per image, were each slice's best threshold known": float(np.concatenate(by_threshold).max(1).mean()),
    }


def _interval(dice: NDArray[np.float64]) -> tuple[float, float]:
    return bootstrap_interval(lambda k: float(dice[k].mean()), np.arange(len(dice)))


def _outlined(name: str, config: TrainConfig, mirrored: bool, workspace: Workspace) -> Pairs:
    """Predictions and masks of the slices of a fold."""
    slices = prepare([FOLDED], workspace.data, config.input_size, workspace.cache)
    slices.records = refolded(slices.records, Fold.parse(str(config.fold)))
    test = slices.split("test")
    said = predict_slices(workspace.output / name / "segmenter.safetensors", config, test, mirrored)
    pairs = []
    for record, patch in zip(test.records, said, strict=True):
        normal = normalize_slice(record, config.input_size)
        if normal.mask is not None:
            height, width = normal.mask.shape
            pairs.append((preprocessing.paste_back(patch, normal.box, (height, width)), normal.mask))
    return pairs
