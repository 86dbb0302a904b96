"""The main path of a study through JCS. Read `Diagnoser._run` first; everything else hangs off it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct._version import __version__
from jcs_ct.cores import at_most
from jcs_ct.diagnosis import fitness
from jcs_ct.diagnosis.classify import Progress, Scores, classify
from jcs_ct.diagnosis.clock import Clock
from jcs_ct.diagnosis.cross_check import cross_check
from jcs_ct.diagnosis.decide import decide
from jcs_ct.diagnosis.decision import Decision, FirstLook, Provenance
from jcs_ct.diagnosis.diagnoser_settings import DecideBy, DiagnoserSettings, Precision
from jcs_ct.diagnosis.doubts import doubts_about
from jcs_ct.diagnosis.evidence import StudyEvidence, load_slice_evidence, weigh
from jcs_ct.diagnosis.findings import explained, slice_scores
from jcs_ct.diagnosis.given_masks import GivenMasks, lungs_to_measure, outside_given_lungs
from jcs_ct.diagnosis.intervals import with_intervals
from jcs_ct.diagnosis.lesion_maps import LesionMaps, segment_slices
from jcs_ct.diagnosis.measure import find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Measured
from jcs_ct.diagnosis.networks import CLASSIFIER, SEGMENTER, LoadedNetwork, load_networks
from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.diagnosis.outline import Opacities, outline, suspect_slices
from jcs_ct.diagnosis.outside_lungs import left_out
from jcs_ct.diagnosis.reporter import Reporter, SilentReporter
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.diagnosis.stated_settings import stated_settings
from jcs_ct.diagnosis.typicality import check_typicality, refuse_unusual, with_atypicality
from jcs_ct.engine import Device
from jcs_ct.lungs import LUNGS, LungFinder
from jcs_ct.notices import Notice
from jcs_ct.study import quality
from jcs_ct.study.volume import Study
from jcs_ct.weights import SHIPPED


class Diagnoser:
    """The whole system, ready to run. Loading the networks takes a second; use one instance for many studies.

    Args:
        weights: folder with `manifest.json` and exported networks; the shipped ones if None.
        settings: see `DiagnoserSettings`.
        threads: cores to use; all if None.
        device: what the networks run on. 8-bit networks run on the CPU only, a GPU computes in fp32.

    Raises:
        WeightsError: weights are missing or differ from their checksum.
        UsageError: the device is missing, or the weights hold no slice evidence for `DecideBy.JOINT`.

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
            settings = replace(settings, precision=Precision.FP32)
        self.slice_evidence = load_slice_evidence(weights or SHIPPED, settings.decide_by)
        """Weighs both tasks into the probability of a slice; None if the classifier alone decides."""
        settings = replace(settings, decide_by=DecideBy.JOINT if self.slice_evidence else DecideBy.CLASSIFIER)
        self.networks = load_networks(weights or SHIPPED, settings.precision, threads, device)
        """By name, as in the manifest."""
        self.settings, self.threads, self.device = settings, threads, device
        self.weights = {name: loaded.file.trace() for name, loaded in self.networks.items()}
        self.lung_search = LungFinder(self.networks[LUNGS].network)

    @property
    def classifier(self) -> LoadedNetwork:
        """The network that judges slices."""
        return self.networks[CLASSIFIER]

    @property
    def segmenter(self) -> LoadedNetwork:
        """The network that outlines opacities."""
        return self.networks[SEGMENTER]

    def run(self, study: Study, reporter: Reporter | None = None, given: GivenMasks | None = None) -> Diagnosis:
        """Diagnose one study. There is always a result, if only why the study cannot be assessed.

        Args:
            study: from `read_study`.
            reporter: receives progress.
            given: masks of lungs or lobes to measure against, in place of the ones that are found.

        Raises:
            UsageError: a given mask does not fit the study.
        """
        given = given or GivenMasks()
        given.fit(study)
        with at_most(self.threads):
            return self._run(study, reporter or SilentReporter(), given)

    def first_look(self, few: Study) -> FirstLook:
        """Classify a few slices while the others are still being read; fast, and no verdict rests on it."""
        with at_most(self.threads):
            lungs = find_lung_slices(few, self.classifier.input_size, self.lung_search)
            if lungs is None:
                return FirstLook(len(few), 0, 0)
            infected = self.classify(lungs.crops).probabilities > self.settings.rule.slice_probability
            return FirstLook(len(few), len(infected), int(infected.sum()))

    def _run(self, study: Study, report: Reporter, given: GivenMasks) -> Diagnosis:
        clock, provenance = Clock(), self._provenance(given)
        try:
            with clock("lungs"):
                lungs = self._find_lungs(study, report)
                given = given if lungs.study is study else given.turned()
            with clock("classify"):
                scores = self._classify(lungs, report)
            with clock("segment"):
                maps = self._segment(lungs, given, report)
            evidence = weigh(scores, maps, self.slice_evidence)
            decision = self._decide(evidence, lungs, provenance)
            with clock("outline"):
                opacities = self._outline(decision, evidence, lungs)
            with clock("measure"):
                measured, outside = self._measure(opacities, lungs, given)
            del opacities  # its volumes are no longer needed when others are made
            with clock("assemble"):
                decision = explained(decision, evidence, lungs, measured, self.settings.rule.slice_probability)
        except NotAssessable as stop:
            decision = stop.decision(study.digest, provenance)
            return Diagnosis(study, decision, None, quality.warnings(study), provenance, clock.total())
        found = (*quality.warnings(lungs.study), *fitness.lung_warnings(lungs), *left_out(maps.left_out), *outside)
        notices = (*found, *fitness.part_of_lungs(decision, lungs), *doubts_about(decision))
        return Diagnosis(lungs.study, decision, measured, notices, provenance, clock.total())

    def _find_lungs(self, study: Study, report: Reporter) -> LungSlices:
        """The lung slices of a study that is fit to be assessed."""
        if refusals := quality.refusals(study):
            raise NotAssessable(refusals)
        report.stage("finding the lungs", len(study))
        lungs = find_lung_slices(study, self.classifier.input_size, self.lung_search)
        if lungs is None:
            raise NotAssessable(fitness.no_lungs(study))
        if refusals := fitness.lung_refusals(lungs):
            raise NotAssessable(refusals)
        return lungs

    def _classify(self, lungs: LungSlices, report: Reporter) -> Scores:
        """Scores of slices that the classifier may judge."""
        report.stage("classifying", len(lungs.indices))
        scores = self.classify(lungs.crops, report.advance)
        refuse_unusual(check_typicality(scores, self.classifier.usual))
        return scores

    def _segment(self, lungs: LungSlices, given: GivenMasks, report: Reporter) -> LesionMaps:
        """Lesion probability of all assessed slices, 0 outside the lungs."""
        report.stage("segmenting", len(lungs.indices))
        return segment_slices(
            self.segment, lungs, self.settings.lesion_probability, given.whole_lungs(), report.advance
        )

    def _decide(self, evidence: StudyEvidence, lungs: LungSlices, provenance: Provenance) -> Decision:
        """Apply the patient rule, and check whether each task alone would decide likewise."""
        rule, study = self.settings.rule, lungs.study
        decision = decide(evidence.probabilities, lungs.extents_mm, len(study), rule)
        decision = fitness.without_empty_negative(decision, lungs)
        marked = evidence.maps.show_opacities(lungs.regions, self.settings.lesion_probability)
        return replace(
            decision,
            scores=slice_scores(lungs, evidence, rule.slice_probability),
            typicality=check_typicality(evidence.scores, self.classifier.usual),
            cross_check=cross_check(decision, evidence, marked, rule.slice_probability),
            digest=study.digest,
            provenance=provenance,
        )

    def _outline(self, decision: Decision, evidence: StudyEvidence, lungs: LungSlices) -> Opacities:
        """Outline opacities on suspect slices."""
        suspect = suspect_slices(decision, evidence.probabilities, self.settings)
        level = self.settings.lesion_probability
        return outline(lungs, evidence.maps, suspect, level, self.segmenter.consolidation_hu)

    def _measure(
        self, opacities: Opacities, lungs: LungSlices, given: GivenMasks
    ) -> tuple[Measured, tuple[Notice, ...]]:
        """Measure opacities against the whole lungs or given ones, and tell whether any lie outside given ones."""
        study, above = lungs.study, int(255 * self.settings.lesion_probability)
        thresholds = self.segmenter.area_thresholds
        within = given.whole_lungs()
        labels = find_lesions(opacities.above(above, within), study)
        whole = lungs_to_measure(given, lungs, labels)
        assert whole is not None
        measured = measure_lesions(
            labels, opacities.probability, whole, study, given.lobes, opacities.dense, opacities.segmented
        )
        if thresholds is not None and thresholds.enclose(above):
            measured = with_intervals(measured, opacities.probability, thresholds, study, within)
        return measured, outside_given_lungs(opacities.above(above), given, measured=False)

    def classify(self, crops: NDArray[np.uint8], progress: Progress | None = None, calibrated: bool = True) -> Scores:
        """Probability and activation map of slices; see `classify.classify`."""
        calibration = self.classifier.calibration if calibrated else None
        scores = classify(self.classifier.network, crops, progress, calibration, self.settings.mirrored)
        return with_atypicality(scores, self.classifier.usual)

    def segment(
        self, crops: NDArray[np.uint8], regions: NDArray[np.bool_], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Lesion probability of slices; see `segment.segment`."""
        return segment(self.segmenter.network, crops, regions, progress, self.settings.mirrored)

    def _provenance(self, given: GivenMasks) -> Provenance:
        stated = stated_settings(self.settings, self.networks, self.slice_evidence, self.device)
        return Provenance(__version__, self.weights, {**stated, "given_masks": given.names()})
