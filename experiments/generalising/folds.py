"""Five folds by group on one source: by marks, by lung features, and by both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from experiments.generalising import place as places
from experiments.generalising.figures import auc, of_groups, of_slices
from experiments.generalising.place import Place, Result
from experiments.generalising.runs import encoder_of, groups_of, labelled_slices, train_missing
from experiments.generalising.within_source import evidence_within
from numpy.typing import NDArray

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.training.config import TrainConfig, load_config

FOLDED, COUNT = "sars-cov-2-ct", 5


def fold_config(number: int, place: Place) -> TrainConfig:
    """The segmenter of one fold."""
    settings = place.settings | {"fold": f"{FOLDED}:{number}of{COUNT}"}
    return replace(load_config(places.CONFIGS / "segmenter.yaml"), init=encoder_of("default", place), **settings)


def five_folds(place: Place) -> list[Result]:
    """Every slice once, judged by what learned from other groups.

    How marks are read, how strongly the features' line is drawn, and what probability that is, is chosen on the
    validation fold.
    """
    runs = {f"fold{number}": fold_config(number, place) for number in range(1, COUNT + 1)}
    train_missing(runs, place)
    said: dict[str, list[NDArray[np.float32]]] = {}
    truth, groups, readings = [], [], []
    for name, config in runs.items():
        slices = labelled_slices(FOLDED, config, place)
        slices.records = refolded(slices.records, Fold.parse(str(config.fold)))
        validation, test = slices.split("val"), slices.split("test")
        reading, found = evidence_within(name, config, slices, place)
        readings.append(reading)
        for by, each in found.items():
            said.setdefault(by, []).append(each.probability(validation.infected == 1, groups_of(validation)))
        truth.append(test.infected == 1)
        groups.append(groups_of(test))
    results = []
    for by, parts in said.items():
        results += list(_results(by, parts, truth, groups))
    results[0].figures["reading of each fold, chosen on another one"] = ", ".join(readings)
    return results


def _results(
    by: str, said: list[NDArray[np.float32]], truth: list[NDArray[np.bool_]], groups: list[NDArray[np.str_]]
) -> Iterator[Result]:
    each = [round(auc(one, score), 3) for one, score in zip(truth, said, strict=True)]
    every = np.concatenate(said), np.concatenate(truth), np.concatenate(groups)
    protocol = f"{COUNT} folds by group, by {by}"
    yield Result(FOLDED, f"{protocol}; slices", of_slices(*every) | {"AUC of each fold": list(each)})
    yield Result(FOLDED, f"{protocol}; groups", of_groups(*every))
