"""The classifier on labelled slices, and its calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.benchmarks.benchmark import BenchmarkResult, Step, chosen_sources, of_split
from jcs_ct.benchmarks.predictions import Predictions, predict
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.errors import DataError
from jcs_ct.evaluation import calibration, metrics
from jcs_ct.evaluation.calibration import PlattScaling, cross_fitted, fit_platt

CLASSIFICATION_SOURCES = ("sars-cov-2-ct", "ucsd-covid-ct")
CALIBRATION_SOURCE = "sars-cov-2-ct"


def ece_of(infected: NDArray[np.bool_], probability: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    """A figure for `metrics.bootstrap_interval`."""
    return calibration.expected_calibration_error(probability[chosen], infected[chosen])


def brier_of(infected: NDArray[np.bool_], probability: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    """The same."""
    return calibration.brier_score(probability[chosen], infected[chosen])


def slice_probabilities(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step, calibrated: bool = True
) -> NDArray[np.float32]:
    """(N,) probability of each picture."""
    return predict(diagnoser, records, step, calibrated).probability


@dataclass(frozen=True)
class CalibrationFit:
    """A scaling, and how it does on patients that it was not fitted on."""

    scaling: PlattScaling
    fitted_on: str
    ece: float
    """Cross-fitted by patient, over all slices."""
    ece_val: float
    """The same of the slices that the network did not learn from: much above `ece`, it knows its training slices by
    heart, and what was fitted on them does not hold."""


def calibrate(diagnoser: Diagnoser, data: Path, step: Step) -> CalibrationFit:
    """Fit the classifier's Platt scaling on all but the test patients of the set whose slice labels are the surest.

    Validation patients alone are too few (docs/decisions/022-calibration.md).
    """
    records = of_split(CALIBRATION_SOURCE, data, "train") + of_split(CALIBRATION_SOURCE, data, "val")
    found = predict(diagnoser, records, step, calibrated=False)
    told = (found.infected, found.groups)
    crossed = cross_fitted(found.probability, *told)
    val = np.array([record.split == "val" for record in found.records])
    return CalibrationFit(
        fit_platt(found.probability, *told),
        f"{CALIBRATION_SOURCE}, splits train and val, {len(records)} slices of {len(np.unique(found.groups))} groups",
        calibration.expected_calibration_error(crossed, found.infected),
        calibration.expected_calibration_error(crossed[val], found.infected[val]),
    )


def classification(
    diagnoser: Diagnoser, data: Path, split: str, step: Step, plots: Path | None = None
) -> list[BenchmarkResult]:
    """Slice and group figures of the classifier, and of how its probabilities are calibrated.

    Args:
        diagnoser: holds the weights and the calibration.
        data: folder that holds data sources, or one of them.
        split: `train`, `val` or `test`.
        step: told of every batch that is done.
        plots: folder for reliability plots of each source, of slices and of groups; none if None.

    Raises:
        ModuleNotFoundError: plots are wanted and matplotlib is not installed.
    """
    results = []
    for source in chosen_sources(data, CLASSIFICATION_SOURCES):
        found = source_predictions(diagnoser, source, data, split, step)
        trial = _result(source, f"split {split}, {len(found.records)} slices", found, diagnoser)
        results.append(trial)
        if plots is not None:
            title = f"{source}, {trial.protocol}"
            _plot(
                calibration.reliability(found.probability, found.infected), title, plots / f"{source}-reliability.png"
            )
            if "group_ece" in trial.figures:
                truth, mean, _ = found.by_group()
                title = f"{source}, split {split}, {len(truth)} groups"
                _plot(calibration.reliability(mean, truth), title, plots / f"{source}-reliability-groups.png")
    return results


def source_predictions(diagnoser: Diagnoser, source: str, data: Path, split: str, step: Step) -> Predictions:
    """The labelled slices of a split with what the classifier says of them.

    Raises:
        DataError: there are none, or own ones of one label only.
    """
    found = predict(diagnoser, _labelled(source, of_split(source, data, split), split), step)
    if found.records[0].own:
        _refuse_one_label(source, split, {record.infected for record in found.records})
    return found


def _result(source: str, protocol: str, found: Predictions, diagnoser: Diagnoser) -> BenchmarkResult:
    infected, probability, groups = found.infected, found.probability, found.groups
    threshold = diagnoser.settings.rule.slice_probability
    sensitivity, specificity = metrics.sensitivity_specificity(infected, probability > threshold)
    figures: dict[str, float | int | None] = {
        "slice_auc": metrics.roc_auc(infected, probability),
        "slice_sensitivity": sensitivity,
        "slice_specificity": specificity,
        "slice_ece": calibration.expected_calibration_error(probability, infected),
        "slice_brier": calibration.brier_score(probability, infected),
        "groups": len(np.unique(groups)),
    }
    intervals = {
        "slice_auc": metrics.auc_interval(infected, probability, groups),
        "slice_ece": metrics.bootstrap_interval(partial(ece_of, infected, probability), groups, centred=True),
        "slice_brier": metrics.bootstrap_interval(partial(brier_of, infected, probability), groups),
    }
    if len(np.unique(groups)) < len(groups):
        truth, mean, _ = found.by_group()
        each = np.arange(len(truth))
        figures["group_auc"] = metrics.roc_auc(truth, mean)
        figures["group_ece"] = calibration.expected_calibration_error(mean, truth)
        figures["group_brier"] = calibration.brier_score(mean, truth)
        intervals["group_auc"] = metrics.auc_interval(truth, mean, each)
        intervals["group_ece"] = metrics.bootstrap_interval(partial(ece_of, truth, mean), each, centred=True)
        intervals["group_brier"] = metrics.bootstrap_interval(partial(brier_of, truth, mean), each)
    return BenchmarkResult(source, protocol, figures, intervals)


def _plot(found: list[calibration.ReliabilityBin], title: str, path: Path) -> None:
    # Here and not at the top: matplotlib is of an extra, and only the plots need it.
    from jcs_ct.evaluation.plots import plot_reliability

    plot_reliability(found, title, path)


def _labelled(source: str, records: list[SliceRecord], split: str) -> list[SliceRecord]:
    """The records whose label is known, if only by their masks; of own data, both labels must be there."""
    known = [record for record in records if record.infected is not None or (record.own and record.mask is not None)]
    labels = {record.infected for record in known}
    if None not in labels and any(record.own for record in records):
        _refuse_one_label(source, split, labels)
    return known


def _refuse_one_label(source: str, split: str, labels: set[bool | None]) -> None:
    if {True, False} <= labels:
        return
    found = "infected" if True in labels else "uninfected" if False in labels else "unlabelled"
    raise DataError(
        f"{source}: the split {split!r} has {found} pictures and studies only, expected infected and uninfected ones "
        "to hold the classifier against: move a patient there, or choose another --split"
    )
