"""The default weights put to the test on data sources: what `jcs evaluate` prints.

Everything runs through the same functions as a diagnosis, at the slices' own resolution. Test slices are those of the
documented splits; none of them was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct import lungs, preprocessing
from jcs_ct.datasets.prepared import NormalisedSlice, normalise_slice
from jcs_ct.datasets.sources import SOURCES, SliceRecord, read_source
from jcs_ct.diagnosis.classify import classify
from jcs_ct.diagnosis.lung_regions import middle_column
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import both_lungs, lesion_region
from jcs_ct.errors import DataError
from jcs_ct.evaluation import metrics
from jcs_ct.evaluation.calibration import PlattScaling, fit_platt

SEGMENTATION_SOURCES = ("covid-19-ct100", "covid-semiseg")
UNINFECTED_SOURCES = ("sars-cov-2-ct",)
CLASSIFICATION_SOURCES = ("sars-cov-2-ct", "ucsd-covid-ct")
CALIBRATION_SOURCE = "sars-cov-2-ct"

Step = Callable[[int], None]


@dataclass(frozen=True)
class Trial:
    """Figures of one protocol on one source."""

    source: str
    protocol: str
    figures: dict[str, float | int | None]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals by group (patient, or what comes nearest)."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.source,
            "protocol": self.protocol,
            "figures": self.figures,
            "intervals_95": {name: list(interval) for name, interval in self.intervals.items()},
        }


def _sources(data: Path, wanted: Iterable[str]) -> list[str]:
    """Those of the wanted sources that lie in `data`, or `data` itself."""
    if data.name in SOURCES:
        found = [data.name] if data.name in wanted else []
    else:
        found = [name for name in wanted if (data / name).is_dir()]
    if not found:
        raise DataError(f"{data}: found none of the sources {', '.join(wanted)}; expected a folder of that name")
    return found


def _split(source: str, data: Path, split: str) -> list[SliceRecord]:
    records = [record for record in read_source(source, data) if record.split == split]
    if not records:
        raise DataError(f"{source} has no slices in the split {split!r}")
    return records


def _masks(diagnoser: Diagnoser, slices: list[NormalisedSlice], step: Step) -> list[NDArray[np.bool_]]:
    """Lesion mask of each slice at its own resolution, as a diagnosis would mark it."""
    size = diagnoser.segmenter.input_size
    out = []
    for one in slices:
        crop = preprocessing.crop_resize(one.image, one.box, size)[None]
        reach = both_lungs(one.lungs, middle_column(one.lungs[None])) if one.lungs.any() else one.lungs
        patch = segment(diagnoser.segmenter, crop, lesion_region(reach, one.box, size)[None])[0]
        height, width = one.image.shape
        values = preprocessing.paste_back(patch, one.box, (height, width))
        out.append(values > diagnoser.settings.lesion_probability)
        step(1)
    return out


def _mean_of(values: NDArray[Any], chosen: NDArray[np.int64]) -> float:
    return float(values[chosen].mean())


def _auc_of(infected: NDArray[np.bool_], probability: NDArray[np.float32], chosen: NDArray[np.int64]) -> float | None:
    return metrics.roc_auc(infected[chosen], probability[chosen])


def segmentation(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[Trial]:
    """Dice on slices with a reader's masks; false marks on uninfected slices."""
    size = diagnoser.segmenter.input_size
    trials = []
    for source in _sources(data, (*SEGMENTATION_SOURCES, *UNINFECTED_SOURCES)):
        records = _split(source, data, split)
        if source in UNINFECTED_SOURCES:
            trials.append(_false_marks(diagnoser, source, records, split, step))
            continue
        slices = [normalise_slice(record, size) for record in records]
        truth = [one.mask for one in slices if one.mask is not None]
        predicted = _masks(diagnoser, slices, step)
        dice = np.array(
            [float(metrics.dice_per_image(p[None], g[None])[0]) for p, g in zip(predicted, truth, strict=True)]
        )
        groups = np.array([record.group for record in records])
        trials.append(
            Trial(
                source,
                f"split {split}, {len(records)} slices, threshold {diagnoser.settings.lesion_probability:g}",
                {
                    "dice_per_image": float(dice.mean()),
                    "dice_pooled": metrics.pooled_dice(predicted, truth),
                    "dice_median": float(np.median(dice)),
                    "slices_below_0.5": int((dice < 0.5).sum()),
                },
                {"dice_per_image": metrics.bootstrap_interval(partial(_mean_of, dice), groups)},
            )
        )
    return trials


def _false_marks(diagnoser: Diagnoser, source: str, records: list[SliceRecord], split: str, step: Step) -> Trial:
    """Share of uninfected slices on which more than 1 % of the lung is marked."""
    uninfected = [record for record in records if record.infected is False]
    slices = [normalise_slice(record, diagnoser.segmenter.input_size) for record in uninfected]
    shows_lung = [bool(lungs.lung_slices(one.lungs[None])[0]) for one in slices]
    slices = [one for one, shown in zip(slices, shows_lung, strict=True) if shown]
    groups = np.array([r.group for r, shown in zip(uninfected, shows_lung, strict=True) if shown])
    predicted = _masks(diagnoser, slices, step)
    shares = [p.sum() / max((one.lungs | p).sum(), 1) for p, one in zip(predicted, slices, strict=True)]
    marked = np.array(shares) > metrics.FALSELY_MARKED_SHARE
    return Trial(
        source,
        f"split {split}, {len(slices)} uninfected slices with lung",
        {"falsely_marked": float(marked.mean())},
        {"falsely_marked": metrics.bootstrap_interval(partial(_mean_of, marked), groups)},
    )


def slice_probabilities(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step, calibration: PlattScaling | None
) -> NDArray[np.float32]:
    """(N,) probability of each slice."""
    size = diagnoser.classifier.input_size
    crops = []
    for record in records:
        one = normalise_slice(record, size)
        crops.append(preprocessing.crop_resize(one.image, one.box, size))
    return classify(diagnoser.classifier, np.stack(crops), step, calibration).probabilities


def calibrate(diagnoser: Diagnoser, data: Path, step: Step) -> tuple[PlattScaling, str]:
    """Fit the classifier's Platt scaling on the validation slices of the set whose slice labels are the surest.

    Returns:
        The scaling, and what it was fitted on.
    """
    records = _split(CALIBRATION_SOURCE, data, "val")
    probability = slice_probabilities(diagnoser, records, step, None)
    infected = np.array([record.infected is True for record in records])
    return fit_platt(probability, infected), f"{CALIBRATION_SOURCE}, split val, {len(records)} slices"


def classification(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[Trial]:
    """Slice and group figures of the classifier."""
    trials = []
    for source in _sources(data, CLASSIFICATION_SOURCES):
        records = _split(source, data, split)
        probability = slice_probabilities(diagnoser, records, step, diagnoser.calibration)
        infected = np.array([record.infected is True for record in records])
        groups = np.array([record.group for record in records])
        threshold = diagnoser.settings.rule.slice_probability
        sensitivity, specificity = metrics.sensitivity_specificity(infected, probability > threshold)
        figures: dict[str, float | int | None] = {
            "slice_auc": metrics.roc_auc(infected, probability),
            "slice_sensitivity": sensitivity,
            "slice_specificity": specificity,
            "groups": len(np.unique(groups)),
        }
        interval = metrics.bootstrap_interval(partial(_auc_of, infected, probability), groups)
        if len(np.unique(groups)) < len(groups):
            names = np.unique(groups)
            mean = np.array([probability[groups == name].mean() for name in names])
            truth = np.array([infected[groups == name].any() for name in names])
            figures["group_auc"] = metrics.roc_auc(truth, mean)
        trials.append(Trial(source, f"split {split}, {len(records)} slices", figures, {"slice_auc": interval}))
    return trials
