"""Knowing when not to answer: what usual slices are, which slices are refused, and what refusing gains."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.benchmarks.benchmark import BenchmarkResult, Step, chosen_sources, crop_and_region, mean_of
from jcs_ct.benchmarks.corruptions import CORRUPTIONS
from jcs_ct.benchmarks.predictions import predict
from jcs_ct.datasets.normalized import normalized
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.typicality import MOST, Usual
from jcs_ct.errors import UsageError
from jcs_ct.evaluation import metrics
from jcs_ct.evaluation.typicality import Levels, Typicality, fit_levels, fit_typicality

LEARNED_FROM = ("sars-cov-2-ct", "ucsd-covid-ct", "mosmed-slices", "covid-19-ct100")
"""Sources of the classifier's training."""
CHANGED = 24
"""Slices of each source that are corrupted."""


def fit_usual(diagnoser: Diagnoser, data: Path, step: Step) -> tuple[Typicality, Levels, str]:
    """What usual slices are: the distribution of training slices, and levels that validation slices lie within.

    Returns:
        Both, and what they were fitted on.

    Raises:
        UsageError: the classifier does not tell its features, as those that were exported before it did.
    """
    sources = chosen_sources(data, LEARNED_FROM)
    fitted = fit_typicality(np.concatenate([_features(diagnoser, _split(s, data, "train"), step) for s in sources]))
    val = np.concatenate([_features(diagnoser, _split(s, data, "val"), step) for s in sources])
    told = f"{', '.join(sources)}; levels by {len(val)} slices of their split val"
    return fitted, fit_levels(fitted.atypicality(val)), told


def typicality(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[BenchmarkResult]:
    """Shares of slices that are unusual or beyond the limit: of each source as it is, and corrupted.

    Raises:
        UsageError: the weights hold no typicality.
    """
    usual = required_usual(diagnoser)
    results = []
    for source in chosen_sources(data, LEARNED_FROM):
        if records := _split(source, data, split):
            results.append(_as_they_are(diagnoser, usual, source, split, records, step))
            few = [records[k] for k in np.linspace(0, len(records) - 1, min(CHANGED, len(records))).astype(int)]
            results.append(_corrupted(diagnoser, usual, source, split, few, step))
    return results


def required_usual(diagnoser: Diagnoser) -> Usual:
    """What usual slices are for these weights.

    Raises:
        UsageError: the weights do not hold it.
    """
    if diagnoser.classifier.usual is None:
        raise UsageError(
            "the manifest of these weights holds no typicality of the classifier, expected one: run jcs calibrate"
        )
    return diagnoser.classifier.usual


def _as_they_are(
    diagnoser: Diagnoser, usual: Usual, source: str, split: str, records: list[SliceRecord], step: Step
) -> BenchmarkResult:
    found = predict(diagnoser, records, step)
    far, groups = _known(found.scores.atypicality), found.groups
    beyond, unusual = far > usual.levels.limit, far > usual.levels.unusual
    return BenchmarkResult(
        source,
        f"split {split}, {len(far)} slices",
        {
            "median_atypicality": float(np.median(far)),
            "unusual": float(unusual.mean()),
            "beyond": float(beyond.mean()),
            "groups": len(np.unique(groups)),
            "groups_refused": int(sum(beyond[groups == name].mean() > MOST for name in np.unique(groups))),
        },
        {
            "unusual": metrics.bootstrap_interval(partial(mean_of, unusual), groups),
            "beyond": metrics.bootstrap_interval(partial(mean_of, beyond), groups),
        },
    )


def _corrupted(
    diagnoser: Diagnoser, usual: Usual, source: str, split: str, records: list[SliceRecord], step: Step
) -> BenchmarkResult:
    size, random = diagnoser.classifier.input_size, np.random.default_rng(0)
    pictures = [crop_and_region(one, size) for _, one in normalized(records, size)]
    figures: dict[str, float | int | None] = {}
    refused, warned = 0, 0
    for name, change in CORRUPTIONS.items():
        crops = np.stack([change(crop, region, random) for crop, region in pictures])
        far = _known(diagnoser.classify(crops, step).atypicality)
        figures[f"beyond_{name}"] = beyond = float((far > usual.levels.limit).mean())
        refused += beyond > MOST
        warned += bool((far > usual.levels.unusual).mean() > MOST)
    kinds = {"kinds": len(CORRUPTIONS), "kinds_refused": refused, "kinds_refused_or_warned_of": warned}
    return BenchmarkResult(source, f"split {split}, {len(pictures)} corrupted slices", figures | kinds)


def _split(source: str, data: Path, split: str) -> list[SliceRecord]:
    """Possibly none: not every source has each split."""
    return [record for record in read_source(source, data) if record.split == split]


def _features(diagnoser: Diagnoser, records: list[SliceRecord], step: Step) -> NDArray[np.float32]:
    if not records:
        return np.empty((0, 0), np.float32)
    return _known(predict(diagnoser, records, step).scores.features)


def _known(values: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if values is None:
        raise UsageError(
            "this classifier does not tell its features, expected one that jcs export wrote: export it anew"
        )
    return values
