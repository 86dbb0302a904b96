"""Scores of systems, which are trained if they are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from experiments.reproduction.plan import LEARNS_BADLY, System, is_peer
from experiments.reproduction.runs import (
    HeldOutSlice,
    Reproduction,
    predictions,
    summary_of,
    train_all,
    trained,
)
from experiments.reproduction.scores import Scores, scores
from numpy.typing import NDArray


class Evaluated:
    """Scores of systems, each computed once."""

    def __init__(self, reproduction: Reproduction, slices: list[HeldOutSlice]) -> None:
        self.reproduction, self.slices = reproduction, slices
        self.kept: dict[str, list[Scores]] = {}

    def __call__(self, system: System) -> list[Scores]:
        """One `Scores` for each seed."""
        if system.key not in self.kept:
            seeds = self.reproduction.preset.seeds_of(system)
            self.kept[system.key] = [scores(self.predicted(system, seed), self.slices) for seed in seeds]
        return self.kept[system.key]

    def all(self, systems: Iterable[System]) -> None:
        """Train and evaluate several with a progress bar, first seeds first: a whole table is there early."""
        systems, preset = list(systems), self.reproduction.preset
        train_all(((system, preset.seeds[0]) for system in systems), self.reproduction, "first seed")
        others = [other for system in systems for other in other_rates(system, self.reproduction)]
        train_all(((other, preset.seeds[0]) for other in others), self.reproduction, "other learning rates")
        runs = [
            (at_its_rate(system, self.reproduction), seed) for system in systems for seed in preset.seeds_of(system)
        ]
        train_all(runs, self.reproduction, "other seeds")
        for system in systems:
            self(system)

    def predicted(self, system: System, seed: int) -> list[NDArray[np.uint8]]:
        """Predictions for every slice by the system at its own learning rate; see `runs.predictions`."""
        return predictions(at_its_rate(system, self.reproduction), seed, self.reproduction, self.slices)


def other_rates(system: System, reproduction: Reproduction) -> list[System]:
    """The peer at the other learning rates, if it learns badly with the first seed."""
    rates = reproduction.preset.peer_rates
    if not is_peer(system) or not rates or _validated(system, reproduction) >= LEARNS_BADLY:
        return []
    return [dataclasses.replace(system, settings=system.settings | {"learning_rate": rate}) for rate in rates]


def at_its_rate(system: System, reproduction: Reproduction) -> System:
    """A system at the learning rate with the best validation Dice, first seed.

    A rate that suits a decoder with batch normalization can be too high for one without. Beating a peer that learned
    nothing would mean nothing.
    """
    others = other_rates(system, reproduction)
    return max((system, *others), key=lambda one: _validated(one, reproduction)) if others else system


def _validated(system: System, reproduction: Reproduction) -> float:
    """Validation Dice of the first seed."""
    return float(str(summary_of(trained(system, reproduction.preset.seeds[0], reproduction))["best"]))
