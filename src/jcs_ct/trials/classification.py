"""The classifier on labelled slices, and its calibration."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.datasets.normalised import normalised
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.diagnosis.classify import classify
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.errors import DataError
from jcs_ct.evaluation import calibration, metrics
from jcs_ct.evaluation.calibration import PlattScaling, fit_platt
from jcs_ct.trials.trial import Step, Trial, chosen_sources, of_split

CLASSIFICATION_SOURCES = ("sars-cov-2-ct", "ucsd-covid-ct")
CALIBRATION_SOURCE = "sars-cov-2-ct"


def auc_of(infected: NDArray[np.bool_], probability: NDArray[np.float32], chosen: NDArray[np.int64]) -> float | None:
    """A figure for `metrics.bootstrap_interval`."""
    return metrics.roc_auc(infected[chosen], probability[chosen])


def slice_probabilities(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step, scaling: PlattScaling | None
) -> NDArray[np.float32]:
    """(N,) probability of each picture."""
    return _probabilities(diagnoser, records, step, scaling)[1]


def _probabilities(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step, scaling: PlattScaling | None
) -> tuple[list[SliceRecord], NDArray[np.float32]]:
    """The slices of records, those of studies one by one, and (N,) the probability of each."""
    size = diagnoser.classifier.input_size
    slices, crops = [], []
    for record, one in normalised(records, size):
        slices.append(record)
        crops.append(preprocessing.crop_resize(one.image, one.box, size))
    return slices, classify(diagnoser.classifier, np.stack(crops), step, scaling).probabilities


def calibrate(diagnoser: Diagnoser, data: Path, step: Step) -> tuple[PlattScaling, str]:
    """Fit the classifier's Platt scaling on the validation slices of the set whose slice labels are the surest.

    Returns:
        The scaling, and what it was fitted on.
    """
    records = of_split(CALIBRATION_SOURCE, data, "val")
    probability = slice_probabilities(diagnoser, records, step, None)
    infected = np.array([record.infected is True for record in records])
    return fit_platt(probability, infected), f"{CALIBRATION_SOURCE}, split val, {len(records)} slices"


def classification(diagnoser: Diagnoser, data: Path, split: str, step: Step, plots: Path | None = None) -> list[Trial]:
    """Slice and group figures of the classifier, and of how its probabilities are calibrated.

    Args:
        diagnoser: holds the weights and the calibration.
        data: folder that holds data sources, or one of them.
        split: `train`, `val` or `test`.
        step: told of every batch that is done.
        plots: folder for a reliability plot of each source; none if None.

    Raises:
        ModuleNotFoundError: plots are wanted and matplotlib is not installed.
    """
    trials = []
    for source in chosen_sources(data, CLASSIFICATION_SOURCES):
        known = _labelled(source, of_split(source, data, split), split)
        records, probability = _probabilities(diagnoser, known, step, diagnoser.calibration)
        if records[0].own:
            _refuse_one_label(source, split, {record.infected for record in records})
        infected = np.array([record.infected is True for record in records])
        groups = np.array([record.group for record in records])
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
        interval = metrics.bootstrap_interval(partial(auc_of, infected, probability), groups)
        if len(np.unique(groups)) < len(groups):
            names = np.unique(groups)
            mean = np.array([probability[groups == name].mean() for name in names])
            truth = np.array([infected[groups == name].any() for name in names])
            figures["group_auc"] = metrics.roc_auc(truth, mean)
            figures["group_ece"] = calibration.expected_calibration_error(mean, truth)
        protocol = f"split {split}, {len(records)} slices"
        trials.append(Trial(source, protocol, figures, {"slice_auc": interval}))
        if plots is not None:
            _plot(
                calibration.reliability(probability, infected),
                f"{source}, {protocol}",
                plots / f"{source}-reliability.png",
            )
    return trials


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
