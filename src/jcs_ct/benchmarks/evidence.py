"""Slice evidence: fitted on validation patients, and measured slice by slice and patient by patient."""

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
from jcs_ct.evaluation.evidence import LESION, Burden, SliceEvidence, fit_evidence
from jcs_ct.morphology import convex_hull, dilated

FITTED_ON = (
    "sars-cov-2-ct",
    "mosmed-slices",
    "coronacases-masks",
    "medseg-radiopaedia",
    "finding-lungs",
    "tcga-lung-slices",
)


@dataclass(frozen=True)
class EvidencePredictions:
    """Slices, and what both networks say of them, in the same order."""

    records: list[SliceRecord]
    margins: NDArray[np.float64]
    """(N,): the classifier's second logit less its first."""
    burden: Burden
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
    return EvidencePredictions(slices.records, special.logit(probability), Burden.of(lesion, regions), lesion > LESION)


def _region(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(h, w): what every opacity of a crop reaches into; see `diagnosis.slices.lesion_region`."""
    if not lungs.any():
        return lungs
    return dilated(convex_hull(both_lungs(lungs, middle_column(lungs[None]))), BORDER)


def usable(records: Iterable[SliceRecord]) -> list[SliceRecord]:
    """Records whose label is known and holds for the slice itself: of a study's label only that it is uninfected."""
    return [
        record
        for record in records
        if record.infected is not None
        and not (record.infected and record.source in SOURCES and SOURCES[record.source].noisy_labels)
    ]


def fit_slice_evidence(diagnoser: Diagnoser, data: Path, step: Step) -> tuple[SliceEvidence, str]:
    """Fit the evidence on the validation patients of all sources that lie in `data`.

    Returns:
        The evidence, and what it was fitted on.

    Raises:
        DataError: no source, or slices of one class only.
    """
    names = [name for name in sources_in(data) if name in FITTED_ON or name not in SOURCES]
    records = usable(r for name in names for r in read_source(name, data) if r.split == "val")
    found = predict_evidence(diagnoser, prepare_records(records, diagnoser.classifier.input_size), step)
    try:
        evidence = fit_evidence(found.margins, found.burden, found.infected, found.patients)
    except ValueError as error:
        raise DataError(f"split val of {', '.join(names)}: {error}") from error
    count = len(np.unique(found.patients))
    return evidence, f"{', '.join(names)}, split val, {len(found.records)} slices of {count} patients"
