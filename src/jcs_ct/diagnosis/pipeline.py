"""The way of a study through JCS. Read `Diagnoser.run` first; everything else hangs off it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from jcs_ct._version import __version__
from jcs_ct.diagnosis import fitness
from jcs_ct.diagnosis.classify import Scores, classify
from jcs_ct.diagnosis.decide import Decision, PatientRule, decide
from jcs_ct.diagnosis.lung_regions import known_sides
from jcs_ct.diagnosis.measure import measure_lesions, slice_burden
from jcs_ct.diagnosis.result import Diagnosis, Lesion, Measures, Provenance, SliceFinding, Verdict
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.diagnosis.whole_lungs import GivenMasks, outside_remark, whole_lungs
from jcs_ct.engine import Network
from jcs_ct.errors import WeightsError
from jcs_ct.evaluation.calibration import PlattScaling
from jcs_ct.one_form import inside_mask
from jcs_ct.study import quality
from jcs_ct.study.volume import Study
from jcs_ct.weights import SHIPPED, load_manifest

NO_LUNGS = "no lungs were found on the pictures; expected axial slices of a chest CT"


class Measured(NamedTuple):
    """What `measure_lesions` gives, and the lungs that it was measured against."""

    labels: NDArray[np.uint16]
    lesions: tuple[Lesion, ...]
    measures: Measures
    lungs: NDArray[np.bool_]
    remarks: tuple[str, ...]
    sides: NDArray[np.uint8] | None


@dataclass(frozen=True)
class DiagnoserSettings:
    """What can be chosen; written into every result."""

    rule: PatientRule = field(default_factory=PatientRule)
    suspect_probability: float = 0.3
    """Of a positive patient, slices at least this suspicious are segmented: lesions fade out over slices that are not
    themselves infected. Of others, the infected slices only."""
    lesion_probability: float = 0.5
    """A pixel above this is lesion."""

    def __post_init__(self) -> None:
        for name in ("suspect_probability", "lesion_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected {name} between 0 and 1, found {getattr(self, name)}")


class Reporter(Protocol):
    """Told of progress; see `cli` for one that draws a bar."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` slices begins."""

    def advance(self, count: int) -> None:
        """So many slices of the stage are done."""


class _Silent:
    def stage(self, name: str, total: int) -> None:
        pass

    def advance(self, count: int) -> None:
        pass


class Diagnoser:
    """The whole system, ready to run. Loading the networks takes a second; use one for many studies.

    Args:
        weights: folder with `manifest.json` and exported networks; those that ship if None.
        settings: see `DiagnoserSettings`.
        threads: cores to use; all if None.

    Raises:
        WeightsError: weights are missing or differ from their checksum.

    Example:
        >>> from jcs_ct import Diagnoser, read_study
        >>> diagnosis = Diagnoser().run(read_study("examples/lung-pet-ct-dx-A0002"))
        >>> print(diagnosis.verdict)
        negative
    """

    def __init__(
        self, weights: Path | None = None, settings: DiagnoserSettings | None = None, threads: int | None = None
    ) -> None:
        self.settings = settings or DiagnoserSettings()
        files = load_manifest(weights or SHIPPED)
        if missing := {"classifier", "segmenter"} - set(files):
            raise WeightsError(f"{weights or SHIPPED}: the manifest names no {' and no '.join(sorted(missing))}")
        self.classifier = Network(files["classifier"].path, threads)
        self.segmenter = Network(files["segmenter"].path, threads)
        calibration = files["classifier"].calibration
        self.calibration = None if calibration is None else PlattScaling(**calibration)
        self.weights = {name: {"file": file.path.name, "sha256": file.sha256} for name, file in files.items()}

    def run(self, study: Study, reporter: Reporter | None = None, given: GivenMasks | None = None) -> Diagnosis:
        """Diagnose one study; always gives an answer, if only why there is none.

        Args:
            study: as `read_study` gives it.
            reporter: told of progress.
            given: masks of lungs or lobes that measures are made against, in place of what is found.

        Raises:
            UsageError: a given mask does not fit the study.
        """
        report, clock, given = reporter or _Silent(), _Clock(), given or GivenMasks()
        given.fit(study)
        objections = quality.objections(study)
        with clock("lungs"):
            report.stage("finding the lungs", len(study))
            slices = None if objections else find_lung_slices(study, self.classifier.input_size)
        if slices is None:
            objections = objections or (NO_LUNGS, *fitness.body_part_cautions(study))
            return self._not_assessable(study, objections, given, clock)
        if unfit := fitness.lung_objections(slices):
            return self._not_assessable(study, unfit, given, clock)
        with clock("classify"):
            report.stage("classifying", len(slices.indices))
            scores = classify(self.classifier, slices.crops, report.advance, self.calibration)
        decision = decide(scores.probabilities, _extents(slices), len(study), self.settings.rule)
        decision = fitness.without_empty_negative(decision, slices)
        with clock("segment"):
            suspect = np.flatnonzero(scores.probabilities >= self._suspicion(decision))
            report.stage("outlining opacities", len(suspect))
            patches = segment(self.segmenter, slices.crops[suspect], slices.regions[suspect], report.advance)
            probability = _lesion_volume(slices, suspect, patches)
        with clock("measure"):
            mask = probability > int(255 * self.settings.lesion_probability)
            measured = _measure(slices, mask, probability, given if slices.study is study else given.turned())
        return self._diagnosis(slices, scores, decision, measured, suspect, given, clock)

    def _suspicion(self, decision: Decision) -> float:
        """From which probability on slices are segmented (paper §III-C: only where the patient is positive)."""
        if decision.verdict is Verdict.POSITIVE:
            return self.settings.suspect_probability
        return self.settings.rule.slice_probability

    def _not_assessable(self, study: Study, reasons: tuple[str, ...], given: GivenMasks, clock: _Clock) -> Diagnosis:
        findings = tuple(_finding(study, k, assessed=False) for k in range(len(study)))
        nothing = Measures(None, None, None, 0)
        return Diagnosis(
            study, Verdict.NOT_ASSESSABLE, reasons, None, None, findings, (), nothing, self._provenance(given),
            clock.total(), (*study.remarks, *quality.cautions(study)),
        )  # fmt: skip

    def _diagnosis(
        self,
        slices: LungSlices,
        scores: Scores,
        decision: Decision,
        measured: Measured,
        suspect: NDArray[np.int64],
        given: GivenMasks,
        clock: _Clock,
    ) -> Diagnosis:
        with clock("assemble"):
            findings = _findings(slices, scores, measured, suspect, self.settings.rule.slice_probability)
            activation = _activation_volume(slices, scores)
        return Diagnosis(
            study=slices.study,
            verdict=decision.verdict,
            reasons=decision.reasons,
            probability=decision.probability,
            rule=decision.rule,
            slices=findings,
            lesions=measured.lesions,
            measures=measured.measures,
            provenance=self._provenance(given),
            timing_s=clock.total(),
            warnings=_cautions(slices, measured),
            lesion_labels=measured.labels,
            lung_mask=measured.lungs,
            activation=activation,
            lung_sides=measured.sides,
        )

    def _provenance(self, given: GivenMasks) -> Provenance:
        calibration = None if self.calibration is None else dataclasses.asdict(self.calibration)
        settings = {
            **dataclasses.asdict(self.settings),
            "calibration": calibration,
            "given_masks": [name for name, mask in vars(given).items() if mask is not None],
        }
        return Provenance(__version__, self.weights, settings)


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._stages[stage] = round(time.perf_counter() - start, 3)

    def total(self) -> dict[str, float]:
        return {**self._stages, "total": round(time.perf_counter() - self._start, 3)}


def _extents(slices: LungSlices) -> NDArray[np.float64] | None:
    """(M,) mm that each assessed slice stands for; None where the input does not tell."""
    geometry = slices.study.geometry
    if geometry is None:
        return None
    extents = geometry.slice_extents[slices.indices]
    return None if np.isnan(extents).any() else extents


def _lesion_volume(slices: LungSlices, suspect: NDArray[np.int64], patches: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(Z, H, W): lesion probability stored as 0..255."""
    volume = np.zeros(slices.study.voxels.shape, np.uint8)
    for k, patch in zip(suspect, patches, strict=True):
        own = slices.study.own_pixels(int(slices.indices[k]))
        values = slices.to_grid(patch)
        volume[(slices.indices[k], *own)] = np.round(255 * values[own])
    return volume


def _measure(
    slices: LungSlices, mask: NDArray[np.bool_], probability: NDArray[np.uint8], given: GivenMasks
) -> Measured:
    """Measure opacities (Z, H, W) against the whole lungs, or against those that the user gave."""
    lungs, remark = given.whole_lungs(), None
    if lungs is None:
        lungs = whole_lungs(slices.lung_mask, mask, slices.overview, inside_mask(slices.study))
    else:
        remark = outside_remark(mask, lungs)
        mask = mask & lungs
    remarks = () if remark is None else (remark,)
    found = measure_lesions(mask, probability, lungs, slices.study, lobes=given.lobes)
    return Measured(*found, lungs, remarks, known_sides(lungs, slices.study))


def _cautions(slices: LungSlices, measured: Measured) -> tuple[str, ...]:
    """What a reader of the result should know: of the input, of the lungs that were seen, of the measures."""
    study = slices.study
    return (*study.remarks, *quality.cautions(study), *fitness.lung_cautions(slices), *measured.remarks)


def _activation_volume(slices: LungSlices, scores: Scores) -> NDArray[np.uint8]:
    """(Z, H, W): activation maps, 255 = the strongest of the study."""
    volume = np.zeros(slices.study.voxels.shape, np.uint8)
    strongest = float(scores.activation_maps.max(initial=0.0))
    if strongest <= 0:
        return volume
    for index, activation in zip(slices.indices, scores.activation_maps, strict=True):
        own = slices.study.own_pixels(int(index))
        volume[(index, *own)] = np.round(255 / strongest * slices.to_grid(activation)[own])
    return volume


def _finding(study: Study, index: int, assessed: bool) -> SliceFinding:
    position = None if study.geometry is None else float(study.geometry.slice_positions[index])
    return SliceFinding(index, study.sources[index], position, assessed)


def _findings(
    slices: LungSlices, scores: Scores, measured: Measured, suspect: NDArray[np.int64], infected_above: float
) -> tuple[SliceFinding, ...]:
    """One finding a slice; areas and shares where the slice was segmented."""
    study = slices.study
    areas, shares = slice_burden(measured.labels, measured.lungs, study)
    findings = [_finding(study, index, assessed=False) for index in range(len(study))]
    segmented = set(slices.indices[suspect].tolist())
    for index, score in zip(slices.indices.tolist(), scores.probabilities.tolist(), strict=True):
        findings[index] = dataclasses.replace(
            findings[index],
            assessed=True,
            probability=score,
            infected=score > infected_above,
            lesion_area_mm2=areas[index] if index in segmented else None,
            lesion_share=shares[index] if index in segmented else None,
        )
    return tuple(findings)
