"""Slice evidence: fitted on validation patients, and measured slice by slice and patient by patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from jcs_ct.benchmarks.benchmark import Step, crop_and_region
from jcs_ct.datasets.normalized import normalized
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import SOURCES, read_source, sources_in
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.errors import DataError
from jcs_ct.evaluation.calibration import LIMIT
from jcs_ct.evaluation.evidence import Burden, SliceEvidence, fit_evidence

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


def predict_evidence(diagnoser: Diagnoser, records: Iterable[SliceRecord], step: Step) -> EvidencePredictions:
    """Classify and segment the slices of records, as a diagnosis does."""
    size = diagnoser.classifier.input_size
    kept, crops, regions = [], [], []
    for record, one in normalized(records, size):
        crop, region = crop_and_region(one, size)
        kept.append(record)
        crops.append(crop)
        regions.append(region)
    if not kept:
        raise DataError("found no slices to judge, expected some of the split")
    images, inside = np.stack(crops), np.stack(regions)
    scores = diagnoser.classify(images, step, calibrated=False)
    probability = np.clip(scores.probabilities.astype(np.float64), LIMIT, 1 - LIMIT)
    return EvidencePredictions(
        kept, special.logit(probability), Burden.of(diagnoser.segment(images, inside, step), inside)
    )


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
    found = predict_evidence(diagnoser, records, step)
    try:
        evidence = fit_evidence(found.margins, found.burden, found.infected, found.patients)
    except ValueError as error:
        raise DataError(f"split val of {', '.join(names)}: {error}") from error
    count = len(np.unique(found.patients))
    return evidence, f"{', '.join(names)}, split val, {len(found.records)} slices of {count} patients"
