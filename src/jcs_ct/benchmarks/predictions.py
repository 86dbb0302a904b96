"""Labelled slices of one source and split, and what the classifier says of them: what most benchmarks begin with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.benchmarks.benchmark import Step
from jcs_ct.datasets.normalized import normalized
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.diagnosis.classify import Scores
from jcs_ct.diagnosis.pipeline import Diagnoser


@dataclass(frozen=True)
class Predictions:
    """Slices and their scores, in the same order."""

    records: list[SliceRecord]
    scores: Scores

    @cached_property
    def infected(self) -> NDArray[np.bool_]:
        """(N,) by their labels."""
        return np.array([record.infected is True for record in self.records])

    @cached_property
    def groups(self) -> NDArray[Any]:
        """(N,) patient of each, or what comes nearest."""
        return np.array([record.group for record in self.records])

    @property
    def probability(self) -> NDArray[np.float32]:
        """(N,)."""
        return self.scores.probabilities

    def by_group(self) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32] | None]:
        """Of each group (M,): whether any slice is infected, mean probability, median atypicality if that is known."""
        members = [np.flatnonzero(self.groups == name) for name in np.unique(self.groups)]
        far = self.scores.atypicality
        return (
            np.array([self.infected[own].any() for own in members]),
            np.array([self.probability[own].mean() for own in members], np.float32),
            None if far is None else np.array([np.median(far[own]) for own in members], np.float32),
        )


def predict(diagnoser: Diagnoser, records: Iterable[SliceRecord], step: Step, calibrated: bool = True) -> Predictions:
    """Classify the slices of records, those of studies one by one."""
    size = diagnoser.classifier.input_size
    slices, crops = [], []
    for record, one in normalized(records, size):
        slices.append(record)
        crops.append(preprocessing.crop_resize(one.image, one.box, size))
    return Predictions(slices, diagnoser.classify(np.stack(crops), step, calibrated))
