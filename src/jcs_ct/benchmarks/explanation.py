"""Whether the classifier looks at lesions: its maps against masks, and its decision without and with nothing but lungs.

A classifier can tell hospitals apart by what lies around the lungs (DeGrave et al., Nature Machine Intelligence 2021).
With the lungs blacked out it should know nothing, and with nothing but the lungs as much as before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.benchmarks.benchmark import BenchmarkResult, Step, chosen_sources, crop_and_region, mean_of, of_split
from jcs_ct.benchmarks.classification import CLASSIFICATION_SOURCES
from jcs_ct.benchmarks.segmentation import SEGMENTATION_SOURCES
from jcs_ct.datasets.normalized import NormalizedSlice, normalized
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.evaluation import localisation as maps
from jcs_ct.evaluation import metrics

Mask = NDArray[np.bool_]
Crop = NDArray[np.uint8]
Change = Callable[[Crop, Mask], Crop]
"""What becomes of a crop (h, w), given the region of the lungs (h, w)."""


def _lungs_only(crop: Crop, region: Mask) -> Crop:
    return np.asarray(np.where(region, crop, 0), np.uint8)


def _without_lungs(crop: Crop, region: Mask) -> Crop:
    return np.asarray(np.where(region, 0, crop), np.uint8)


SEEN: dict[str, Change] = {
    "whole": lambda crop, region: crop,
    "lungs_only": _lungs_only,
    "without_lungs": _without_lungs,
}
"""The convex hull of the lungs stands for them: what is dense in them is kept or goes with them."""


def shortcut(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[BenchmarkResult]:
    """Slice AUC of pictures as they are, of their lungs alone, and of what lies around the lungs."""
    results = []
    size = diagnoser.classifier.input_size
    for source in chosen_sources(data, CLASSIFICATION_SOURCES):
        records = [record for record in of_split(source, data, split) if record.infected is not None]
        found = list(normalized(records, size))
        pictures = [crop_and_region(one, size) for _, one in found]
        infected = np.array([record.infected is True for record, _ in found])
        groups = np.array([record.group for record, _ in found])
        figures: dict[str, float | int | None] = {}
        intervals = {}
        for name, change in SEEN.items():
            crops = np.stack([change(crop, region) for crop, region in pictures])
            probability = diagnoser.classify(crops, step).probabilities
            figures[f"auc_{name}"] = metrics.roc_auc(infected, probability)
            intervals[f"auc_{name}"] = metrics.auc_interval(infected, probability, groups)
        results.append(BenchmarkResult(source, f"split {split}, {len(found)} slices", figures, intervals))
    return results


def localisation(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[BenchmarkResult]:
    """Activation maps of slices with outlined opacities, held against a reader's masks within what the network sees."""
    results = []
    size = diagnoser.classifier.input_size
    for source in chosen_sources(data, SEGMENTATION_SOURCES):
        found, groups, masks = [], [], []
        for record, one in normalized(of_split(source, data, split), size):
            if one.mask is not None and one.mask.any():
                found.append(_map(diagnoser, one, size, step))
                masks.append(one.mask[one.box.inside(one.mask.shape)])
                groups.append(record.group)
        if found:
            results.append(_result(source, split, maps.localisation(found, masks), np.array(groups)))
    return results


def _map(diagnoser: Diagnoser, one: NormalizedSlice, size: tuple[int, int], step: Step) -> NDArray[np.float32]:
    crop = preprocessing.crop_resize(one.image, one.box, size)
    coarse = diagnoser.classify(crop[None], step).activation_maps[0]
    height, width = one.image.shape
    return preprocessing.paste_back(coarse, one.box, (height, width))[one.box.inside(one.image.shape)]


def _result(source: str, split: str, found: maps.Localisation, groups: NDArray[Any]) -> BenchmarkResult:
    threshold, dice = found.best
    best = found.dice[:, metrics.THRESHOLDS.index(threshold)]

    def times_chance(chosen: NDArray[np.int64]) -> float:
        return float(found.energy[chosen].mean() / found.chance[chosen].mean())

    return BenchmarkResult(
        source,
        f"split {split}, {len(found.hits)} slices with outlined opacities",
        {
            "pointing_game": found.pointing_game,
            "energy_in_lesions": float(found.energy.mean()),
            "chance": float(found.chance.mean()),
            "times_chance": found.times_chance,
            "dice_at_best_threshold": dice,
            "best_threshold": threshold,
        },
        {
            "pointing_game": metrics.bootstrap_interval(partial(mean_of, found.hits), groups),
            "times_chance": metrics.bootstrap_interval(times_chance, groups),
            "dice_at_best_threshold": metrics.bootstrap_interval(partial(mean_of, best), groups),
        },
    )
