"""Slice evidence, fitted on patients that are not for testing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from jcs_ct.benchmarks.benchmark import Step
from jcs_ct.datasets.prepared import PreparedSlices, prepare_records
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import SOURCES, read_source, sources_in
from jcs_ct.diagnosis.lung_regions import middle_column
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.slices import BORDER, both_lungs
from jcs_ct.errors import DataError
from jcs_ct.evaluation.calibration import LIMIT
from jcs_ct.evaluation.evidence import LESION, SliceEvidence, fit_evidence, marked_share
from jcs_ct.morphology import convex_hull, dilated

FITTED_ON = (
    "sars-cov-2-ct",
    "mosmed-slices",
    "coronacases-masks",
    "medseg-radiopaedia",
    "finding-lungs",
    "tcga-lung-slices",
)
EVERY_PATIENT = ("coronacases-masks", "medseg-radiopaedia")
"""Of these the training patients take part too: only two patients with outlined slices are for validation, and both are
severely ill. The segmenter saw each of these slices a few times at most, changed at random."""
SLICES_A_PATIENT = 25
"""At most so many slices of one patient, an even choice of them."""


@dataclass(frozen=True)
class EvidencePredictions:
    """Slices, and what both networks say of them, in the same order."""

    records: list[SliceRecord]
    margins: NDArray[np.float64]
    """(N,): the classifier's second logit less its first."""
    shares: NDArray[np.float64]
    """(N,): of the lungs' hull that the segmenter marks."""
    marked: NDArray[np.bool_]
    """(N, h, w): where the segmenter's probability is above `LESION`."""

    @property
    def infected(self) -> NDArray[np.bool_]:
        """(N,) by their labels."""
        return np.array([record.infected is True for record in self.records])

    @property
    def patients(self) -> NDArray[Any]:
        """(N,) patient of each, across all folders."""
        return np.array([_patient(record) for record in self.records])


def _patient(record: SliceRecord) -> str:
    source = SOURCES.get(record.source)
    return "/".join((record.source, record.group) if source is None else source.patient(record))


def predict_evidence(diagnoser: Diagnoser, slices: PreparedSlices, step: Step) -> EvidencePredictions:
    """Classify and segment slices at the networks' size, as a diagnosis does.

    Raises:
        DataError: there are no slices.
    """
    if not len(slices):
        raise DataError("found no slices to judge, expected some of the split")
    regions = np.stack([_region(lungs) for lungs in slices.lung_masks])
    scores = diagnoser.classify(slices.images, step, calibrated=False)
    probability = np.clip(scores.probabilities.astype(np.float64), LIMIT, 1 - LIMIT)
    lesion = diagnoser.segment(slices.images, regions, step)
    return EvidencePredictions(
        slices.records, special.logit(probability), marked_share(lesion, regions), lesion > LESION
    )


def _region(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(h, w): what every opacity of a crop reaches into; see `diagnosis.slices.lesion_region`."""
    if not lungs.any():
        return lungs
    return dilated(convex_hull(both_lungs(lungs, middle_column(lungs[None]))), BORDER)


def usable(records: Iterable[SliceRecord]) -> list[SliceRecord]:
    """Records whose label holds for the slice itself: infected ones where a reader outlined or labelled that slice."""
    return [
        record
        for record in records
        if record.infected is False
        or (record.infected and (record.mask is not None or record.slice_labels is not None))
    ]


def fitting_records(names: Iterable[str], data: Path) -> list[SliceRecord]:
    """The slices that the evidence is fitted on, an even choice of each patient's."""
    patients: dict[tuple[str, bool | None], list[SliceRecord]] = {}
    for name in names:
        splits = ("train", "val") if name in EVERY_PATIENT else ("val",)
        for record in usable(read_source(name, data)):
            if record.split in splits:
                patients.setdefault((f"{name}/{_patient(record)}", record.infected), []).append(record)
    return [
        own[place]
        for own in patients.values()
        for place in np.linspace(0, len(own) - 1, min(len(own), SLICES_A_PATIENT)).astype(int).tolist()
    ]


def fit_slice_evidence(diagnoser: Diagnoser, data: Path, step: Step) -> tuple[SliceEvidence, str]:
    """Fit the evidence on patients that are not for testing, of all sources that lie in `data`.

    Returns:
        The evidence, and what it was fitted on.

    Raises:
        DataError: no source, or slices of one class only.
    """
    names = [name for name in sources_in(data) if name in FITTED_ON or name not in SOURCES]
    records = fitting_records(names, data)
    found = predict_evidence(diagnoser, prepare_records(records, diagnoser.classifier.input_size), step)
    try:
        evidence = fit_evidence(found.margins, found.shares, found.infected, found.patients)
    except ValueError as error:
        raise DataError(f"{', '.join(names)}: {error}") from error
    count = len(np.unique(found.patients))
    return evidence, f"{', '.join(names)}, {len(found.records)} slices of {count} patients that are not for testing"
