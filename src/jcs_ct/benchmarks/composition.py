"""Ground glass and consolidation against a reader's masks of them, and the level of density that parts them.

Dice is meant over images, in three ways that differ in the images without consolidation: left out; 1 where none was
marked either, else 0; always 0. The last is what the evaluation tool of Inf-Net does, as it sets Dice to 0 wherever
nothing overlaps, and published figures of the 50/48 split were made with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.benchmarks.benchmark import BenchmarkResult, Step, crop_and_region, mean_of
from jcs_ct.datasets.normalized import NormalizedSlice, normalized
from jcs_ct.datasets.sources import read_source
from jcs_ct.diagnosis.outline import consolidation
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.errors import DataError, UsageError
from jcs_ct.evaluation import metrics

COMPOSITION_SOURCE = "covid-semiseg"
LEVELS_HU = tuple(float(hu) for hu in range(-700, -99, 20))
"""Levels that the fit chooses from."""
FOLDS = 5
"""Of neighbouring slices, which may be one patient's."""


@dataclass(frozen=True)
class CompositionFit:
    """A level of density, and how well levels that were fitted in the same way do on slices left out of the fit."""

    level_hu: float
    fitted_on: str
    ground_glass_dice: float
    """Cross-validated, mean over images that show it."""
    consolidation_dice: float


@dataclass(frozen=True)
class _Overlaps:
    """Dice of one slice at each of L levels."""

    group: str
    ground_glass: NDArray[np.float64]
    """(L,): 1 where neither the reader nor the software marked any."""
    consolidation: NDArray[np.float64]
    shows: tuple[bool, bool]
    """Whether the reader marked ground glass, and consolidation."""


def composition(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[BenchmarkResult]:
    """Dice of ground glass and of consolidation, as a diagnosis marks them.

    Args:
        diagnoser: holds the weights and the level.
        data: folder that holds `covid-semiseg`, or that folder.
        split: `train`, `val` or `test`.
        step: told of every slice that is done.

    Raises:
        UsageError: the weights hold no level.
        DataError: the source is missing, or no slice of the split has masks of the kinds of opacity.
    """
    if diagnoser.segmenter.consolidation_hu is None:
        raise UsageError(
            "the weights do not tell consolidation from ground glass: run jcs calibrate --only composition"
        )
    found = _overlaps(diagnoser, data, (split,), (diagnoser.segmenter.consolidation_hu,), step)
    groups = np.array([one.group for one in found])
    figures: dict[str, float | int | None] = {}
    intervals = {}
    for k, name in enumerate(("ground_glass", "consolidation")):
        dice = np.array([getattr(one, name)[0] for one in found])
        shows = np.array([one.shows[k] for one in found])
        if not shows.any():
            continue
        figures |= {
            f"{name}_dice": float(dice[shows].mean()),
            f"{name}_dice_all_images": float(dice.mean()),
            f"{name}_dice_infnet": float(np.where(shows, dice, 0).mean()),
            f"slices_with_{name}": int(shows.sum()),
        }
        own = partial(mean_of, dice[shows])
        intervals[f"{name}_dice"] = metrics.bootstrap_interval(own, groups[shows])
    protocol = f"split {split}, {len(found)} slices, consolidation above {diagnoser.segmenter.consolidation_hu:g} HU"
    return [BenchmarkResult(COMPOSITION_SOURCE, protocol, figures, intervals)]


def fit_composition(diagnoser: Diagnoser, data: Path, step: Step) -> CompositionFit:
    """The level that parts consolidation from ground glass best on the 50 training slices.

    The segmenter learned from these slices, so that Dice on them is better than elsewhere, cross-validated or not.

    Raises:
        DataError: the source is missing, or has no masks of the kinds of opacity.
    """
    found = _overlaps(diagnoser, data, ("train", "val"), LEVELS_HU, step)
    left_out: list[tuple[_Overlaps, int]] = []
    for fold in np.array_split(np.arange(len(found)), FOLDS):
        best = _best_level([one for k, one in enumerate(found) if k not in fold])
        left_out += [(found[k], best) for k in fold]
    return CompositionFit(
        LEVELS_HU[_best_level(found)],
        f"{COMPOSITION_SOURCE}, splits train and val, {len(found)} slices",
        float(np.mean([one.ground_glass[best] for one, best in left_out if one.shows[0]])),
        float(np.mean([one.consolidation[best] for one, best in left_out if one.shows[1]])),
    )


def _best_level(found: Sequence[_Overlaps]) -> int:
    """Position of the level with the highest sum of the two Dice, each meant over the images that show its kind."""
    ground_glass = np.mean([one.ground_glass for one in found if one.shows[0]], axis=0)
    consolidation = np.mean([one.consolidation for one in found if one.shows[1]], axis=0)
    return int(np.argmax(ground_glass + consolidation))


def _overlaps(
    diagnoser: Diagnoser, data: Path, splits: Sequence[str], levels: Sequence[float], step: Step
) -> list[_Overlaps]:
    records = [r for r in read_source(COMPOSITION_SOURCE, data) if r.split in splits and r.composition is not None]
    if not records:
        raise DataError(
            f"{data}: found no slices of {COMPOSITION_SOURCE} in the splits {', '.join(splits)} with masks of "
            "ground glass and consolidation; expected them in masks_ggo_consolidation (see docs/data.md)"
        )
    out = []
    for record, one in sorted(normalized(records, diagnoser.segmenter.input_size), key=lambda pair: pair[0].group):
        out.append(_overlaps_of(diagnoser, record.group, one, levels))
        step(1)
    return out


def _overlaps_of(diagnoser: Diagnoser, group: str, one: NormalizedSlice, levels: Sequence[float]) -> _Overlaps:
    assert one.mask is not None
    assert one.consolidation is not None
    height, width = one.image.shape
    crop, region = crop_and_region(one, diagnoser.segmenter.input_size)
    patch, above = diagnoser.segment(crop[None], region[None]), diagnoser.settings.lesion_probability
    opacity = preprocessing.paste_back(patch[0], one.box, (height, width)) > above
    marked = []
    for level in levels:
        parts = consolidation(crop[None], patch > above, level)[0].astype(np.float32)
        marked.append(opacity & (preprocessing.paste_back(parts, one.box, (height, width)) > 0.5))
    ground_glass = one.mask & ~one.consolidation
    return _Overlaps(
        group,
        np.array([_dice(opacity & ~dense, ground_glass) for dense in marked]),
        np.array([_dice(dense, one.consolidation) for dense in marked]),
        (bool(ground_glass.any()), bool(one.consolidation.any())),
    )


def _dice(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(metrics.dice_per_image(predicted[None], truth[None])[0])
