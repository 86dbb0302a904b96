"""The way of a study through JCS. Read `Diagnoser.run` first; everything else hangs off it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from jcs_ct._version import __version__
from jcs_ct.cores import at_most, parallel_map
from jcs_ct.cropped_volume import CroppedVolume, Volume
from jcs_ct.diagnosis import fitness, typicality
from jcs_ct.diagnosis.classify import Progress, Scores, classify
from jcs_ct.diagnosis.clock import Clock
from jcs_ct.diagnosis.composition import dense_parts
from jcs_ct.diagnosis.cross_check import cross_check, disagreement, shows_opacities, slices_to_look_at
from jcs_ct.diagnosis.decide import Decision, PatientRule, decide
from jcs_ct.diagnosis.explanation import check_explanation, looks_elsewhere
from jcs_ct.diagnosis.findings import activation_volume, put_on_grid, slice_findings
from jcs_ct.diagnosis.intervals import with_intervals
from jcs_ct.diagnosis.lung_regions import sides_are_known
from jcs_ct.diagnosis.measure import Measured, find_lesions, measure_lesions, unassessed
from jcs_ct.diagnosis.result import CrossCheck, Diagnosis, FirstLook, Measures, Provenance, TypicalityCheck, Verdict
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.diagnosis.whole_lungs import GivenMasks, outside_remark, whole_lungs
from jcs_ct.engine import BACKENDS, Device, Network
from jcs_ct.errors import WeightsError
from jcs_ct.evaluation.calibration import PlattScaling
from jcs_ct.evaluation.conformal import AreaThresholds
from jcs_ct.morphology import Mask
from jcs_ct.normalization import inside_mask
from jcs_ct.notices import texts
from jcs_ct.study import quality
from jcs_ct.study.volume import Study
from jcs_ct.weights import SHIPPED, ModelFile, NetworkFile, load_manifest

_SEGMENTED_AT_ONCE = 64
"""Slices whose probabilities are held as floats."""
NO_LUNGS = "no lungs were found on the pictures; expected axial slices of a chest CT"


class Precision(StrEnum):
    """Numbers that networks compute with."""

    FP32 = "fp32"
    INT8 = "int8"


@dataclass(frozen=True)
class DiagnoserSettings:
    """What can be chosen; written into every result."""

    rule: PatientRule = field(default_factory=PatientRule)
    suspect_probability: float = 0.3
    """Of a positive patient, slices at least this suspicious are segmented: lesions fade out over slices that are not
    themselves infected. Of others, the infected slices only."""
    lesion_probability: float = 0.5
    """A pixel above this is lesion."""
    precision: Precision = Precision.INT8
    """In what the networks compute, where the weights hold it; `fp32` is what they were trained in."""
    mirrored: bool = False
    """Whether slices are seen a second time, mirrored, and the answers averaged: twice the time."""

    def __post_init__(self) -> None:
        for name in ("suspect_probability", "lesion_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected {name} between 0 and 1, found {getattr(self, name)}")
        # A plain "fp32" would pass for whatever it is not compared with: networks would compute in eight bits.
        object.__setattr__(self, "precision", Precision(self.precision))


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


class _Outlined(NamedTuple):
    probability: CroppedVolume[np.uint8]
    """(Z, H, W), of lesion, stored as 0..255."""
    dense: CroppedVolume[np.bool_] | None
    """(Z, H, W): where opacities are consolidated, if that can be told."""
    segmented: NDArray[np.int64]
    """(S,) which of the assessed slices."""
    look: CrossCheck | None


class _Checks(NamedTuple):
    """What is known of how far a result can be relied on."""

    typicality: TypicalityCheck | None
    look: CrossCheck | None


class Diagnoser:
    """The whole system, ready to run. Loading the networks takes a second; use one for many studies.

    Args:
        weights: folder with `manifest.json` and exported networks; those that ship if None.
        settings: see `DiagnoserSettings`.
        threads: cores to use; all if None.
        device: on what the networks compute; the 8-bit networks are for the CPU, a GPU computes in fp32.

    Raises:
        WeightsError: weights are missing or differ from their checksum.
        UsageError: the device is not there.

    Example:
        >>> from jcs_ct import Diagnoser, read_study
        >>> diagnosis = Diagnoser().run(read_study("examples/lung-pet-ct-dx-A0002"))
        >>> print(diagnosis.verdict)
        negative
    """

    def __init__(
        self,
        weights: Path | None = None,
        settings: DiagnoserSettings | None = None,
        threads: int | None = None,
        device: Device = Device.CPU,
    ) -> None:
        settings = settings or DiagnoserSettings()
        if device is not Device.CPU:
            settings = dataclasses.replace(settings, precision=Precision.FP32)
        self.settings, self.threads, self.device = settings, threads, device
        files = load_manifest(weights or SHIPPED)
        if missing := {"classifier", "segmenter"} - set(files):
            raise WeightsError(f"{weights or SHIPPED}: the manifest names no {' and no '.join(sorted(missing))}")
        ran = {name: _to_run(file, self.settings.precision) for name, file in files.items()}
        self.classifier = Network(ran["classifier"].path, threads, BACKENDS[device])
        self.segmenter = Network(ran["segmenter"].path, threads, BACKENDS[device])
        calibration = files["classifier"].calibration
        self.calibration = None if calibration is None else PlattScaling(**calibration)
        self.usual = typicality.Usual.of(files["classifier"])
        thresholds = files["segmenter"].area_thresholds
        self.area_thresholds = None if thresholds is None else AreaThresholds(**thresholds)
        self.consolidation_hu = files["segmenter"].consolidation_hu
        self.weights = {name: file.trace() for name, file in ran.items()}

    def run(self, study: Study, reporter: Reporter | None = None, given: GivenMasks | None = None) -> Diagnosis:
        """Diagnose one study; always gives an answer, if only why there is none.

        Args:
            study: as `read_study` gives it.
            reporter: told of progress.
            given: masks of lungs or lobes that measures are made against, in place of what is found.

        Raises:
            UsageError: a given mask does not fit the study.
        """
        with at_most(self.threads):
            return self._run(study, reporter or _Silent(), given or GivenMasks())

    def first_look(self, few: Study) -> FirstLook:
        """Classify a few slices of a study whose others are still being read; see `read_study`."""
        with at_most(self.threads):
            slices = find_lung_slices(few, self.classifier.input_size)
            if slices is None:
                return FirstLook(len(few), 0, 0)
            infected = self.classify(slices.crops).probabilities > self.settings.rule.slice_probability
            return FirstLook(len(few), len(infected), int(infected.sum()))

    def _run(self, study: Study, report: Reporter, given: GivenMasks) -> Diagnosis:
        clock = Clock()
        given.fit(study)
        objections = texts(quality.refusals(study))
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
            scores = self.classify(slices.crops, report.advance)
        usual = typicality.check_typicality(scores, self.usual)
        if unlike := typicality.atypical_objections(usual):
            return dataclasses.replace(self._not_assessable(study, unlike, given, clock), typicality=usual)
        decision = decide(scores.probabilities, slices.extents_mm, len(study), self.settings.rule)
        decision = fitness.without_empty_negative(decision, slices)
        with clock("segment"):
            outlined = self._outline(slices, scores, decision, report)
        with clock("measure"):
            above = int(255 * self.settings.lesion_probability)
            upright = given if slices.study is study else given.turned()
            warnings = (
                *_cautions(slices, outlined.probability, above, upright),
                *typicality.atypical_cautions(usual),
                *disagreement(outlined.look),
            )
            measured = _measure(slices, outlined, above, upright, self._thresholds_around(above))
            segmented, look = outlined.segmented, outlined.look
            del outlined  # volumes: not needed while others are made
        checks = _Checks(usual, look)
        return self._diagnosis(
            slices, scores, checks, decision, measured, segmented, self._provenance(given), warnings, clock
        )

    def classify(self, crops: NDArray[np.uint8], progress: Progress | None = None, calibrated: bool = True) -> Scores:
        """Probability and activation map of slices; see `classify.classify`."""
        calibration = self.calibration if calibrated else None
        scores = classify(self.classifier, crops, progress, calibration, self.settings.mirrored)
        return typicality.with_atypicality(scores, self.usual)

    def segment(
        self, crops: NDArray[np.uint8], regions: NDArray[np.bool_], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Lesion probability of slices; see `segment.segment`."""
        return segment(self.segmenter, crops, regions, progress, self.settings.mirrored)

    def consolidation(self, crops: NDArray[np.uint8], patches: NDArray[np.float32], level_hu: float) -> Mask:
        """(M, h, w): where what is outlined is consolidated; see `composition.dense_parts`.

        Args:
            crops: (M, h, w).
            patches: (M, h, w), lesion probability as `segment` gives it.
            level_hu: consolidation is denser.
        """
        opacities = patches > self.settings.lesion_probability
        return np.stack(parallel_map(lambda k: dense_parts(crops[k], opacities[k], level_hu), range(len(crops))))

    def _outline(self, slices: LungSlices, scores: Scores, decision: Decision, report: Reporter) -> _Outlined:
        """Outline opacities on suspect slices; of a negative study on all if a cross-check finds any."""
        suspect = np.flatnonzero(scores.probabilities >= self._suspicion(decision))
        look = None
        if decision.verdict is Verdict.NEGATIVE:
            seen = slices_to_look_at(slices.extents_mm, len(slices.indices))
            report.stage("looking a second time", len(seen))
            look = cross_check(decision.verdict, decision.rule, len(seen), self._marked(slices, seen, report.advance))
            if look is not None and not look.agrees:
                suspect = np.arange(len(slices.indices))
        report.stage("outlining opacities", len(suspect))
        volume = CroppedVolume(slices.study.voxels.shape, np.uint8)
        dense = None if self.consolidation_hu is None else CroppedVolume(volume.shape, np.bool_)
        marked = 0
        for few in _at_once(suspect):
            patches = self.segment(slices.crops[few], slices.regions[few], report.advance)
            marked += self._count_marked(slices, few, patches)
            put_on_grid(volume, slices, slices.indices[few], patches, 255.0)
            if dense is not None and self.consolidation_hu is not None:
                parts = self.consolidation(slices.crops[few], patches, self.consolidation_hu)
                shown = parts.any((1, 2))  # the others need not be resized
                put_on_grid(dense, slices, slices.indices[few][shown], parts[shown].astype(np.float32), 1.0)
        if look is None:
            look = cross_check(decision.verdict, decision.rule, len(suspect), marked)
        return _Outlined(volume, dense, suspect, look)

    def _marked(self, slices: LungSlices, seen: NDArray[np.int64], progress: Progress) -> int:
        """How many of some assessed slices show opacities; outlines are not kept."""
        return sum(
            self._count_marked(slices, few, self.segment(slices.crops[few], slices.regions[few], progress))
            for few in _at_once(seen)
        )

    def _count_marked(self, slices: LungSlices, few: NDArray[np.int64], patches: NDArray[np.float32]) -> int:
        return int(shows_opacities(patches, slices.regions[few], self.settings.lesion_probability).sum())

    def _thresholds_around(self, above: int) -> AreaThresholds | None:
        """What intervals of volumes are made with; none around an outline that lies beyond the thresholds."""
        thresholds = self.area_thresholds
        if thresholds is None or not thresholds.levels[0] <= above <= thresholds.levels[1]:
            return None
        return thresholds

    def _suspicion(self, decision: Decision) -> float:
        """From which probability on slices are segmented (paper §III-C: only where the patient is positive)."""
        if decision.verdict is Verdict.POSITIVE:
            return self.settings.suspect_probability
        return self.settings.rule.slice_probability

    def _not_assessable(self, study: Study, reasons: tuple[str, ...], given: GivenMasks, clock: Clock) -> Diagnosis:
        nothing = Measures(None, None, None, 0)
        return Diagnosis(
            study, Verdict.NOT_ASSESSABLE, reasons, None, None, unassessed(study), (), nothing, self._provenance(given),
            clock.total(), texts(quality.warnings(study)),
        )  # fmt: skip

    def _diagnosis(
        self,
        slices: LungSlices,
        scores: Scores,
        checks: _Checks,
        decision: Decision,
        measured: Measured,
        segmented: NDArray[np.int64],
        provenance: Provenance,
        warnings: tuple[str, ...],
        clock: Clock,
    ) -> Diagnosis:
        with clock("assemble"):
            findings = slice_findings(slices, scores, measured, segmented, self.settings.rule.slice_probability)
            activation = activation_volume(slices, scores)
            infected = np.array([finding.index for finding in findings if finding.infected], np.int64)
            explanation = check_explanation(
                activation, measured.lungs, measured.labels, infected, slices.box, slices.study
            )
        return Diagnosis(
            study=slices.study,
            verdict=decision.verdict,
            reasons=decision.reasons,
            probability=decision.probability,
            rule=decision.rule,
            slices=findings,
            lesions=measured.lesions,
            measures=measured.measures,
            provenance=provenance,
            timing_s=clock.total(),
            warnings=(*warnings, *looks_elsewhere(explanation)),
            lesion_labels=measured.labels,
            lung_mask=measured.lungs,
            activation=activation,
            lung_sides=measured.sides if sides_are_known(slices.study) else None,
            explanation=explanation,
            typicality=checks.typicality,
            cross_check=checks.look,
        )

    def _provenance(self, given: GivenMasks) -> Provenance:
        calibration, thresholds = (
            None if fitted is None else dataclasses.asdict(fitted)
            for fitted in (self.calibration, self.area_thresholds)
        )
        settings = {
            **dataclasses.asdict(self.settings),
            "device": self.device,
            "calibration": calibration,
            "area_thresholds": thresholds,
            "consolidation_hu": self.consolidation_hu,
            "given_masks": given.names(),
        }
        return Provenance(__version__, self.weights, settings)


def _to_run(file: NetworkFile, precision: Precision) -> ModelFile:
    """What of a network computes in a precision, if there is such."""
    return file.exact if precision is Precision.FP32 or file.quantised is None else file.quantised


def _at_once(chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Slices in parts whose probabilities may be held as floats."""
    return (chosen[start : start + _SEGMENTED_AT_ONCE] for start in range(0, len(chosen), _SEGMENTED_AT_ONCE))


def _measure(
    slices: LungSlices,
    outlined: _Outlined,
    above: int,
    given: GivenMasks,
    thresholds: AreaThresholds | None,
) -> Measured:
    """Measure what is above a probability (Z, H, W) against the whole lungs, or against those that the user gave."""
    probability = outlined.probability
    known = given.whole_lungs()
    labels = find_lesions(_opacities(probability, above, known), slices.study)
    lungs: Volume[np.bool_] | None = known
    if lungs is None:
        inside = inside_mask(slices.study)
        lungs = whole_lungs(slices.lung_mask, labels, slices.overview, inside, slices.assessed)
    measured = measure_lesions(labels, probability, lungs, slices.study, given.lobes, outlined.dense)
    if thresholds is None:
        return measured
    return with_intervals(measured, probability, thresholds, slices.study, known)


def _opacities(probability: CroppedVolume[np.uint8], above: int, within: Mask | None = None) -> CroppedVolume[np.bool_]:
    """(Z, H, W): what is above a probability, within a mask (Z, H, W) if one is given."""

    def marked(z: int) -> Mask:
        return probability[z] > above if within is None else (probability[z] > above) & within[z]

    return CroppedVolume.made(probability.shape, np.bool_, marked, probability.shown())


def _cautions(
    slices: LungSlices, probability: CroppedVolume[np.uint8], above: int, given: GivenMasks
) -> tuple[str, ...]:
    """What a reader of the result should know: of the input, of the lungs that were seen, of the given masks."""
    study, lungs = slices.study, given.whole_lungs()
    outside = None if lungs is None else outside_remark(_opacities(probability, above), lungs)
    seen = (*texts(quality.warnings(study)), *fitness.lung_cautions(slices))
    return seen if outside is None else (*seen, outside)
