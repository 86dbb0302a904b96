"""What a run would fail by, or fool itself by, found before the first step."""

from __future__ import annotations

import numpy as np

from jcs_ct.datasets.prepared import EMPTY_MASK, READER_MASK, PreparedSlices
from jcs_ct.datasets.sources import FORMS
from jcs_ct.errors import DataError, OverlapError
from jcs_ct.training.config import TrainConfig

_HOW = "see docs/data.md"


def check_sources(config: TrainConfig) -> None:
    """Refuse a config that trains on one form of a set and validates on another.

    Raises:
        OverlapError: it does.
    """
    trained = {source for group in config.batch for source in group.sources} | set(config.train_on_validation)
    validated = set(config.validation) or trained
    for form, original in FORMS.items():
        pair = {form, original}
        if trained & pair and validated & pair and pair <= trained | validated:
            raise OverlapError(
                f"config: found {form} and {original} on the two sides of training and validation, but they are the "
                f"same slices; expected one of them in `batch` and `validation` ({_HOW})"
            )


def check_slices(config: TrainConfig, training: PreparedSlices, validation: PreparedSlices) -> None:
    """Refuse splits that lack what the task needs.

    Raises:
        DataError: no validation slices, or own data without a class in a split that needs it.
    """
    if config.task == "encoder":
        return  # made from the slices of one look, without validation
    if not len(validation):
        wanted = " whose mask is known" if config.task in ("segmenter", "joint") else ""
        raise DataError(
            f"found no validation slices{wanted}, expected some to choose the checkpoint by: put patients into the "
            f"split `val` ({_HOW})"
        )
    for split, slices in (("train", training), ("val", validation)):
        for source in sorted({record.source for record in slices.records if record.own}):
            _check_own(config.task, split, source, slices.of_source(source))


def _check_own(task: str, split: str, source: str, slices: PreparedSlices) -> None:
    outlined = int((slices.mask_kinds == READER_MASK).sum())
    empty = int((slices.mask_kinds == EMPTY_MASK).sum())
    if task in ("segmenter", "joint") and not outlined:
        raise DataError(
            f"{source}: the split {split!r} has no slice with an outlined opacity ({empty} with an empty mask), but "
            f"the {task} needs some: move a patient with masks there ({_HOW})"
        )
    if task == "classifier" or (task == "joint" and split == "train"):
        counts = [int((slices.infected == label).sum()) for label in (1, 0)]
        if not all(counts):
            raise DataError(
                f"{source}: the split {split!r} has {counts[0]} infected and {counts[1]} uninfected slices, but the "
                f"{task} needs both: move a patient there ({_HOW})"
            )


def labelled(slices: PreparedSlices) -> PreparedSlices:
    """The slices whose label is known."""
    return slices.subset(np.asarray(slices.infected >= 0, bool))
