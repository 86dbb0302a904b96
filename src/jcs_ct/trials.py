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
from jcs_ct.datasets.normalised import NormalisedSlice, normalised
from jcs_ct.datasets.overlap import refuse_overlap
from jcs_ct.datasets.prepared import prepare
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import SOURCES, own_folder, read_source, sources_in
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

CHECKED_SIZE = (160, 208)
"""What slices are brought to before they are compared with each other: five times a thumbnail's side."""

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
    """Those of the wanted sources that lie in `data`, or `data` itself, and the user's own."""
    found = [name for name in sources_in(data) if name in wanted or name not in SOURCES]
    if not found:
        raise DataError(
            f"{data}: found none of the sources {', '.join(wanted)}; expected a folder of that name, or own data with "
            "slices.csv"
        )
    return found


def check_own_data(data: Path, sheet: Path | None, allow_similar: bool) -> None:
    """Refuse own data whose splits share patients, files, or slices that look the same.

    What was trained on may not be known here, but figures of a split are worth nothing if the others show the same.

    Args:
        data: folder that holds data sources, or one of them.
        sheet: PNG to draw near-identical pairs on.
        allow_similar: warn of near-identical pairs only.

    Raises:
        OverlapError: the splits overlap.
        DataError: a table is not as documented, or a file cannot be read.
    """
    for source in sources_in(data):
        if own_folder(source, data) is not None and len({r.split for r in read_source(source, data)}) > 1:
            refuse_overlap(prepare([source], data, CHECKED_SIZE), sheet, allow_similar)


def _split(source: str, data: Path, split: str) -> list[SliceRecord]:
    records = [record for record in read_source(source, data) if record.split == split]
    if not records:
        raise DataError(f"{source} has no slices in the split {split!r}")
    return records


def _mask(diagnoser: Diagnoser, one: NormalisedSlice) -> NDArray[np.bool_]:
    """(H, W): lesion mask of a slice at its own resolution, as a diagnosis would mark it."""
    size = diagnoser.segmenter.input_size
    crop = preprocessing.crop_resize(one.image, one.box, size)[None]
    reach = both_lungs(one.lungs, middle_column(one.lungs[None])) if one.lungs.any() else one.lungs
    patch = segment(diagnoser.segmenter, crop, lesion_region(reach, one.box, size)[None])[0]
    height, width = one.image.shape
    return preprocessing.paste_back(patch, one.box, (height, width)) > diagnoser.settings.lesion_probability


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

    @property
    def dice(self) -> float:
        return 2 * self.overlap / self.total if self.total else 1.0


def _marked(diagnoser: Diagnoser, records: list[SliceRecord], step: Step) -> list[_Marked]:
    """The slices with a known mask, one after the other: whole studies would not fit into memory together."""
    out = []
    for record, one in normalised(records, diagnoser.segmenter.input_size):
        known = one.mask is not None or record.infected is False
        if not known:
            continue
        predicted = _mask(diagnoser, one)
        truth = np.zeros_like(predicted) if one.mask is None else one.mask
        out.append(
            _Marked(
                record.group,
                one.mask is not None and (bool(truth.any()) or not record.own),
                int((predicted & truth).sum()),
                int(predicted.sum()) + int(truth.sum()),
                float(predicted.sum() / max((one.lungs | predicted).sum(), 1)),
                bool(lungs.lung_slices(one.lungs[None])[0]),
            )
        )
        step(1)
    return out


def _mean_of(values: NDArray[Any], chosen: NDArray[np.int64]) -> float:
    return float(values[chosen].mean())


def _auc_of(infected: NDArray[np.bool_], probability: NDArray[np.float32], chosen: NDArray[np.int64]) -> float | None:
    return metrics.roc_auc(infected[chosen], probability[chosen])


def segmentation(diagnoser: Diagnoser, data: Path, split: str, step: Step) -> list[Trial]:
    """Dice on slices with a reader's masks; false marks on uninfected slices, and on own ones with an empty mask."""
    trials = []
    for source in _sources(data, (*SEGMENTATION_SOURCES, *UNINFECTED_SOURCES)):
        marked = _marked(diagnoser, _split(source, data, split), step)
        outlined = [one for one in marked if one.outlined]
        clean = [one for one in marked if not one.outlined and one.shows_lung]
        if source not in UNINFECTED_SOURCES and not outlined:
            raise DataError(
                f"{source}: the split {split!r} has no slice with an outlined opacity, expected some to hold the "
                "segmenter against: move a patient with masks there, or choose another --split"
            )
        if outlined:
            trials.append(_dice(source, outlined, split, diagnoser.settings.lesion_probability))
        if clean:
            trials.append(_false_marks(source, clean, split))
    return trials


def _dice(source: str, outlined: list[_Marked], split: str, threshold: float) -> Trial:
    dice = np.array([one.dice for one in outlined])
    groups = np.array([one.group for one in outlined])
    return Trial(
        source,
        f"split {split}, {len(outlined)} slices, threshold {threshold:g}",
        {
            "dice_per_image": float(dice.mean()),
            "dice_pooled": metrics.pooled_dice([one.overlap for one in outlined], [one.total for one in outlined]),
            "dice_median": float(np.median(dice)),
            "slices_below_0.5": int((dice < 0.5).sum()),
        },
        {"dice_per_image": metrics.bootstrap_interval(partial(_mean_of, dice), groups)},
    )


def _false_marks(source: str, clean: list[_Marked], split: str) -> Trial:
    """Share of slices without opacities on which more than 1 % of the lung is marked."""
    marked = np.array([one.share for one in clean]) > metrics.FALSELY_MARKED_SHARE
    groups = np.array([one.group for one in clean])
    what = "uninfected slices with lung" if source in UNINFECTED_SOURCES else "slices with lung and no opacity"
    return Trial(
        source,
        f"split {split}, {len(clean)} {what}",
        {"falsely_marked": float(marked.mean())},
        {"falsely_marked": metrics.bootstrap_interval(partial(_mean_of, marked), groups)},
    )


def slice_probabilities(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step, calibration: PlattScaling | None
) -> NDArray[np.float32]:
    """(N,) probability of each picture."""
    return _probabilities(diagnoser, records, step, calibration)[1]


def _probabilities(
    diagnoser: Diagnoser, records: list[SliceRecord], step: Step, calibration: PlattScaling | None
) -> tuple[list[SliceRecord], NDArray[np.float32]]:
    """The slices of records, those of studies one by one, and (N,) the probability of each."""
    size = diagnoser.classifier.input_size
    slices, crops = [], []
    for record, one in normalised(records, size):
        slices.append(record)
        crops.append(preprocessing.crop_resize(one.image, one.box, size))
    return slices, classify(diagnoser.classifier, np.stack(crops), step, calibration).probabilities


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
        known = _labelled(source, _split(source, data, split), split)
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
