"""What it tells that the segmenter agrees with the classifier on a slice, or does not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.benchmarks.benchmark import BenchmarkResult, Step, chosen_sources, crop_and_region
from jcs_ct.benchmarks.classification import CLASSIFICATION_SOURCES, source_predictions
from jcs_ct.benchmarks.predictions import Predictions
from jcs_ct.datasets.normalized import normalized
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.diagnosis.cross_check import shows_opacities
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.evaluation import metrics

SOURCES = (*CLASSIFICATION_SOURCES, "mosmed-slices")
SUREST = 1 / 320
"""Share of a crop's pixels, the most surely lesion, whose mean ranks a slice by its marks."""


def agreement(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[BenchmarkResult]:
    """How often the classifier is right where the segmenter agrees, and where it does not.

    Args:
        diagnoser: holds the weights.
        data: folder that holds data sources, or one of them.
        split: `train`, `val` or `test`; sources without it are left out.
        step: told of every batch that is done.

    Raises:
        DataError: no source has labelled slices in the split.
    """
    results = []
    for source in chosen_sources(data, SOURCES):
        if source == "mosmed-slices" and split == "test":  # all of it is for training and validation
            continue
        found = source_predictions(diagnoser, source, data, split, step)
        results.append(_result(source, split, found, *_looked_at(diagnoser, found.records, step), diagnoser))
    return results


def _looked_at(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """(N,) each: on which slices the segmenter finds opacities, and how sure it is, in the order of the records."""
    marked, sure = [], []
    for _, one in normalized(records, diagnoser.segmenter.input_size):
        crop, region = crop_and_region(one, diagnoser.segmenter.input_size)
        patch = diagnoser.segment(crop[None], region[None])
        marked.append(bool(shows_opacities(patch, region[None], diagnoser.settings.lesion_probability)[0]))
        count = max(1, round(SUREST * patch.size))
        sure.append(float(-np.partition(-patch, count - 1, None)[:count].mean()))
        step(1)
    return np.array(marked), np.array(sure, np.float32)


def _result(
    source: str,
    split: str,
    found: Predictions,
    marked: NDArray[np.bool_],
    sure: NDArray[np.float32],
    diagnoser: Diagnoser,
) -> BenchmarkResult:
    called = found.probability > diagnoser.settings.rule.slice_probability
    wrong, disagrees = called != found.infected, called != marked
    figures: dict[str, float | int | None] = {
        "auc_of_classifier": metrics.roc_auc(found.infected, found.probability),
        "auc_of_segmenter": metrics.roc_auc(found.infected, sure),
        "error": float(wrong.mean()),
        "slices_on_which_both_agree": float((~disagrees).mean()),
        "error_where_both_agree": _share(wrong, ~disagrees),
        "error_where_they_disagree": _share(wrong, disagrees),
    }
    for name, said in (("uninfected", ~called), ("infected", called)):
        for other, shown in (("marked", marked), ("unmarked", ~marked)):
            figures[f"called_{name}_and_{other}"] = int((said & shown).sum())
            figures[f"infected_of_those_called_{name}_and_{other}"] = _share(found.infected, said & shown)
    missed = ~called & found.infected
    figures["missed_slices_that_are_marked"] = _share(marked, missed)
    intervals = {
        name: metrics.bootstrap_interval(partial(_of_chosen, wrong, where), found.groups)
        for name, where in (("error_where_both_agree", ~disagrees), ("error_where_they_disagree", disagrees))
        if where.any()
    }
    intervals["auc_of_segmenter"] = metrics.auc_interval(found.infected, sure, found.groups)
    return BenchmarkResult(source, f"split {split}, {len(wrong)} slices, both networks", figures, intervals)


def _share(what: NDArray[np.bool_], where: NDArray[np.bool_]) -> float | None:
    return float(what[where].mean()) if where.any() else None


def _of_chosen(what: NDArray[np.bool_], where: NDArray[np.bool_], chosen: NDArray[np.int64]) -> float | None:
    """A figure for `metrics.bootstrap_interval`."""
    return _share(what[chosen], where[chosen])
