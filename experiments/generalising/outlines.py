"""Five folds by slice on the slices that a reader outlined: the protocol of MiniSeg's published figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from experiments.generalising import place as places
from experiments.generalising.place import Figures, Place, Result
from experiments.generalising.runs import encoder_of, said_by, train_missing
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.normalised import normalise_slice
from jcs_ct.datasets.prepared import prepare
from jcs_ct.evaluation.metrics import bootstrap_interval, dice_per_image, pooled_dice
from jcs_ct.training.config import TrainConfig, load_config

FOLDED, COUNT = "covid-19-ct100", 5
THRESHOLD = 0.5


def outlines_config(number: int, place: Place) -> TrainConfig:
    """The segmenter of one fold: it learns from the four others, and its last weights are kept."""
    config = load_config(places.CONFIGS / "outlines.yaml")
    settings = place.settings | {"fold": f"{FOLDED}:{number}of{COUNT}"}
    return replace(config, init=encoder_of(config.size, place), **settings)


def outlines(place: Place) -> list[Result]:
    """Every slice once, outlined by a segmenter that was not trained on it, at the slice's own resolution."""
    runs = {f"outlines{number}": outlines_config(number, place) for number in range(1, COUNT + 1)}
    train_missing(runs, place)
    results = []
    for mirrored, look in ((False, "one look at a slice"), (True, "its mirror image looked at as well")):
        dice, overlap, total, folds = [], [], [], []
        for name, config in runs.items():
            pairs = _outlined(name, config, mirrored, place)
            dice += [float(dice_per_image(said[None], truth[None])[0]) for said, truth in pairs]
            overlap += [int((said & truth).sum()) for said, truth in pairs]
            total += [int(said.sum() + truth.sum()) for said, truth in pairs]
            folds.append(round(float(np.mean(dice[-len(pairs) :])), 3))
        every = np.array(dice)
        figures: Figures = {
            "slices": len(every),
            "Dice per image": float(every.mean()),
            "Dice per image, 95 % interval": list(_interval(every)),
            "Dice over all pixels": pooled_dice(overlap, total),
            "Dice per image of each fold": list(folds),
        }
        results.append(Result(FOLDED, f"{COUNT} folds by slice, threshold {THRESHOLD}; {look}", figures))
    return results


def _interval(dice: NDArray[np.float64]) -> tuple[float, float]:
    return bootstrap_interval(lambda k: float(dice[k].mean()), np.arange(len(dice)))


def _outlined(
    name: str, config: TrainConfig, mirrored: bool, place: Place
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """What is marked, and what the reader marked, (H, W) each, of the slices of a fold."""
    slices = prepare([FOLDED], place.data, config.input_size, place.cache)
    slices.records = refolded(slices.records, Fold.parse(str(config.fold)))
    test = slices.split("test")
    said = said_by(place.output / name / "segmenter.safetensors", config, test, mirrored)
    pairs = []
    for record, patch in zip(test.records, said, strict=True):
        normal = normalise_slice(record, config.input_size)
        if normal.mask is not None:
            height, width = normal.mask.shape
            pairs.append((preprocessing.paste_back(patch, normal.box, (height, width)) > THRESHOLD, normal.mask))
    return pairs
