"""The segmenter against readers' masks, and on slices that show no opacity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct import lungs, preprocessing
from jcs_ct.benchmarks.benchmark import (
    BenchmarkResult,
    Step,
    chosen_sources,
    crop_and_region,
    mean_of,
    of_split,
    sources_with,
)
from jcs_ct.datasets.normalized import NormalizedSlice, normalized
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import names_where
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.errors import DataError, UsageError
from jcs_ct.evaluation import conformal, metrics
from jcs_ct.evaluation.conformal import AreaThresholds

SEGMENTATION_SOURCES = names_where(reader=True)
UNINFECTED_SOURCES = names_where(reader=False, clean_when_uninfected=True, noisy_labels=False)
INTERVAL_SOURCE = "covid-19-ct100"
INTERVAL_COVERAGE = 0.9


def _probability(diagnoser: Diagnoser, one: NormalizedSlice) -> NDArray[np.float32]:
    """(H, W): lesion probability of a slice at its own resolution, as a diagnosis has it."""
    crop, region = crop_and_region(one, diagnoser.segmenter.input_size)
    patch = diagnoser.segment(crop[None], region[None])[0]
    height, width = one.image.shape
    return preprocessing.paste_back(patch, one.box, (height, width))


def _area_above(probability: NDArray[np.float32]) -> NDArray[np.int64]:
    """(256,) area above each level, the probability in bytes as a diagnosis keeps it."""
    return conformal.area_above(np.round(conformal.STEPS * probability).astype(np.uint8))


def fit_intervals(
    diagnoser: Diagnoser, data: Path, step: Step, between: tuple[float, float] | None = None
) -> tuple[AreaThresholds, str]:
    """Choose the thresholds of the segmenter's intervals on validation slices with a reader's masks.

    They promise something only for a segmenter that was not trained on these slices, as the one that ships was. What
    they are worth is measured on the test slices, which chose nothing.

    Args:
        diagnoser: holds the weights.
        data: folder that holds data sources, or one of them.
        step: told of every slice that is done.
        between: thresholds to take instead, without a promise; for a segmenter that knows the validation slices.

    Returns:
        The thresholds, and what they were fitted on.

    Raises:
        DataError: too few slices.
        UsageError: the given thresholds do not lie around 0.5.
    """
    sources = chosen_sources(data, (INTERVAL_SOURCE,))
    if between is None:
        fitted, on = _fitted_intervals(diagnoser, data, sources, step)
    else:
        try:
            fitted, on = AreaThresholds(*between, None), "set beforehand"
        except ValueError as error:
            raise UsageError(str(error)) from error
    tested = [one for source in sources for one in _outlined_areas(diagnoser, source, data, "test", step)]
    covered = [conformal.covered(*one, fitted) for one in tested]
    measured = round(float(np.mean(covered)), 4) if covered else None
    return replace(fitted, measured=measured), f"{on}; measured on {len(covered)} slices of split test"


def _fitted_intervals(diagnoser: Diagnoser, data: Path, sources: list[str], step: Step) -> tuple[AreaThresholds, str]:
    outlined = [one for source in sources for one in _outlined_areas(diagnoser, source, data, "val", step)]
    levels = np.array([conformal.matching_levels(above, area) for above, area in outlined])
    try:
        fitted = conformal.fit_area_thresholds(levels, INTERVAL_COVERAGE)
    except ValueError as error:
        raise DataError(f"split val with outlined opacities: {error}") from error
    return fitted, f"{', '.join(sources)}, split val, {len(levels)} slices"


def _outlined_areas(
    diagnoser: Diagnoser, source: str, data: Path, split: str, step: Step
) -> list[tuple[NDArray[np.int64], int]]:
    """Of each slice with outlined opacities, the segmenter's area above each level and the reader's area."""
    found = []
    for _, one in normalized(of_split(source, data, split), diagnoser.segmenter.input_size):
        if one.mask is not None and one.mask.any():
            found.append((_area_above(_probability(diagnoser, one)), int(one.mask.sum())))
            step(1)
    return found


@dataclass(frozen=True)
class _Marked:
    """What the segmenter did on one slice; the pixels themselves are not kept."""

    group: str
    outlined: bool
    """Whether a reader's mask is held against it; else the slice shows no opacity, or nobody knows."""
    overlap: int
    total: int
    """Pixels of both masks together."""
    share: float
    """Of the lung that is marked."""
    shows_lung: bool
    covered: bool | None
    """Whether the reader's area lies in the segmenter's interval; None where the weights hold none."""

    @property
    def dice(self) -> float:
        return 2 * self.overlap / self.total if self.total else 1.0


def _marked(diagnoser: Diagnoser, records: list[SliceRecord], step: Step) -> list[_Marked]:
    """The slices with a known mask, one after the other: whole studies would not fit into memory together."""
    out = []
    for record, one in normalized(records, diagnoser.segmenter.input_size):
        known = one.mask is not None or record.infected is False
        if not known:
            continue
        probability = _probability(diagnoser, one)
        predicted = probability > diagnoser.settings.lesion_probability
        truth = np.zeros_like(predicted) if one.mask is None else one.mask
        out.append(
            _Marked(
                record.group,
                one.mask is not None and (bool(truth.any()) or not record.own),
                int((predicted & truth).sum()),
                int(predicted.sum()) + int(truth.sum()),
                float(predicted.sum() / max((one.lungs | predicted).sum(), 1)),
                bool(lungs.lung_slices(one.lungs[None])[0]),
                _covered(diagnoser.segmenter.area_thresholds, probability, truth),
            )
        )
        step(1)
    return out


def _covered(
    thresholds: AreaThresholds | None, probability: NDArray[np.float32], truth: NDArray[np.bool_]
) -> bool | None:
    if thresholds is None:
        return None
    return conformal.covered(_area_above(probability), int(truth.sum()), thresholds)


def segmentation(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[BenchmarkResult]:
    """Dice on slices with a reader's masks; false marks on uninfected slices, and on own ones with an empty mask."""
    results = []
    for source in sources_with(split, data, (*SEGMENTATION_SOURCES, *UNINFECTED_SOURCES)):
        marked = _marked(diagnoser, of_split(source, data, split), step)
        outlined = [one for one in marked if one.outlined]
        clean = [one for one in marked if not one.outlined and one.shows_lung]
        if source not in UNINFECTED_SOURCES and not outlined:
            raise DataError(
                f"{source}: the split {split!r} has no slice with an outlined opacity, expected some to hold the "
                "segmenter against: move a patient with masks there, or choose another --split"
            )
        if outlined:
            results.append(_dice(source, outlined, split, diagnoser.settings.lesion_probability))
        if clean:
            results.append(_false_marks(source, clean, split))
    return results


def _dice(source: str, outlined: list[_Marked], split: str, threshold: float) -> BenchmarkResult:
    dice = np.array([one.dice for one in outlined])
    groups = np.array([one.group for one in outlined])
    covered = np.array([one.covered for one in outlined if one.covered is not None])
    intervals = {"dice_per_image": metrics.bootstrap_interval(partial(mean_of, dice), groups)}
    if len(covered):
        intervals["area_in_interval"] = metrics.bootstrap_interval(partial(mean_of, covered), groups)
    return BenchmarkResult(
        source,
        f"split {split}, {len(outlined)} slices, threshold {threshold:g}",
        {
            "dice_per_image": float(dice.mean()),
            "dice_pooled": metrics.pooled_dice([one.overlap for one in outlined], [one.total for one in outlined]),
            "dice_median": float(np.median(dice)),
            "slices_below_0.5": int((dice < 0.5).sum()),
            "area_in_interval": float(covered.mean()) if len(covered) else None,
        },
        intervals,
    )


def _false_marks(source: str, clean: list[_Marked], split: str) -> BenchmarkResult:
    """Share of slices without opacities on which more than 1 % of the lung is marked."""
    marked = np.array([one.share for one in clean]) > metrics.FALSELY_MARKED_SHARE
    groups = np.array([one.group for one in clean])
    what = "uninfected slices with lung" if source in UNINFECTED_SOURCES else "slices with lung and no opacity"
    return BenchmarkResult(
        source,
        f"split {split}, {len(clean)} {what}",
        {"falsely_marked": float(marked.mean())},
        {"falsely_marked": metrics.bootstrap_interval(partial(mean_of, marked), groups)},
    )
