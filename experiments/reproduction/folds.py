"""Beyond the paper: five folds by slice, the protocol of MiniSeg's published figures."""

from __future__ import annotations

import dataclasses

import numpy as np
from experiments.reproduction.parts import Table
from experiments.reproduction.plan import JCS, System
from experiments.reproduction.runs import SOURCE, HeldOutSlice, Reproduction, held_out_slices, predictions, train_all
from experiments.reproduction.scores import THRESHOLD, scores
from experiments.reproduction.tables import interval_of
from numpy.typing import NDArray

from jcs_ct.evaluation.metrics import pooled_dice

COUNT = 5
PUBLISHED = "75.9 / 80.8"
"""Dice per image and pooled over pixels of the prediction maps that MiniSeg's authors publish: 99 slices, five folds by
slice."""


def folds(reproduction: Reproduction) -> Table:
    """Table of every slice once, outlined by a segmenter that was not trained on it."""
    train_all([(part, 0) for part in _parts()], reproduction, "folds")
    parts = left_out(reproduction)
    dice = [scores([values for values, _ in part], [one for _, one in part]).dice for part in parts]
    pooled = [_overlap(values > 255 * THRESHOLD, one) for part in parts for values, one in part]
    every = np.concatenate(dice)
    both = f"{100 * every.mean():.1f} / {100 * pooled_dice(*zip(*pooled, strict=True)):.1f}"
    by_fold = ", ".join(f"{100 * one.mean():.1f}" for one in dice)
    rows = [(JCS.label, both, interval_of(every), by_fold), ("MiniSeg, as published", PUBLISHED, "–", "–")]
    steps = reproduction.preset.settings["steps"]
    protocol = (
        f"{len(pooled)} slices of {SOURCE} in {COUNT} folds by slice, one kept for testing, one to choose the "
        f"checkpoint, three to train on; {steps} steps of 4 slices, as in Table VII; threshold {THRESHOLD:g}; one "
        "seed. The encoder that it starts from was narrowed on slices of this source, without their masks. Slices of "
        "one patient may lie in several folds: the source does not tell patients apart."
    )
    head = ("system", "Dice per image / pooled", "per image, 95 % interval", "each fold")
    return Table("folds", "Five folds by slice", protocol, head, rows)


def left_out(reproduction: Reproduction) -> list[list[tuple[NDArray[np.uint8], HeldOutSlice]]]:
    """By fold, predictions of a segmenter trained on the other folds, with their slices; see `predictions`."""
    out = []
    for part in _parts():
        slices = held_out_slices(reproduction, part.settings["fold"])
        out.append(list(zip(predictions(part, 0, reproduction, slices), slices, strict=True)))
    return out


def _parts() -> list[System]:
    """Our segmenter in each fold."""
    names = [f"{SOURCE}:{number}of{COUNT}" for number in range(1, COUNT + 1)]
    return [dataclasses.replace(JCS, settings=JCS.settings | {"fold": name}) for name in names]


def _overlap(called: NDArray[np.bool_], one: HeldOutSlice) -> tuple[int, int]:
    return int((called & one.truth).sum()), int(called.sum() + one.truth.sum())
