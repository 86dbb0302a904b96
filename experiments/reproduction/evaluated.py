"""Systems trained where they are missing, and their scores."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.reproduction.plan import System
from experiments.reproduction.runs import HeldOutSlice, Place, predictions, train_all
from experiments.reproduction.scores import Scores, scores


class Evaluated:
    """Scores of systems, each computed once."""

    def __init__(self, place: Place, slices: list[HeldOutSlice]) -> None:
        self.place, self.slices = place, slices
        self.kept: dict[str, list[Scores]] = {}

    def __call__(self, system: System) -> list[Scores]:
        """One `Scores` for each seed."""
        if system.key not in self.kept:
            seeds = self.place.preset.seeds
            self.kept[system.key] = [
                scores(predictions(system, seed, self.place, self.slices), self.slices) for seed in seeds
            ]
        return self.kept[system.key]

    def all(self, systems: Iterable[System]) -> None:
        """Train and evaluate many, seed by seed, with a progress bar: what is there early is a whole table."""
        systems = list(systems)
        train_all(((system, seed) for seed in self.place.preset.seeds for system in systems), self.place, "runs")
        for system in systems:
            self(system)
