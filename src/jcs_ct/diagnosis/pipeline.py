"""The main path of a study through JCS. Read `Diagnoser._run` first; everything else hangs off it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct import lungs as lung_search
from jcs_ct._version import __version__
from jcs_ct.cores import at_most
from jcs_ct.diagnosis import fitness
from jcs_ct.diagnosis.classify import Progress, Scores, classify
from jcs_ct.diagnosis.clock import Clock
from jcs_ct.diagnosis.decide import decide
from jcs_ct.diagnosis.decision import Decision, FirstLook, Provenance, Verdict
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings, Precision
from jcs_ct.diagnosis.doubts import doubts_about
from jcs_ct.diagnosis.explanation import check_explanation
from jcs_ct.diagnosis.findings import activation_volume, slice_scores
from jcs_ct.diagnosis.given_masks import GivenMasks, lungs_to_measure, outside_given_lungs
from jcs_ct.diagnosis.intervals import with_intervals
from jcs_ct.diagnosis.measure import find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Measured
from jcs_ct.diagnosis.networks import CLASSIFIER, SEGMENTER, LoadedNetwork, load_networks
from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.diagnosis.outline import Opacities, Outliner
from jcs_ct.diagnosis.reporter import Reporter, SilentReporter
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.diagnosis.typicality import check_typicality, refuse_unusual, with_atypicality
from jcs_ct.engine import Device
from jcs_ct.evaluation.conformal import AreaThresholds
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
        UsageError: the device is missing.

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
        self.settings, self.threads, self.device = settings, threads, device
        self.networks = load_networks(weights or SHIPPED, settings.precision, threads, device)
        """By name, as in the manifest."""
        self.weights = {name: loaded.file.trace() for name, loaded in self.networks.items()}
        self.lung_search: lung_search.LungSearch = lung_search.find_lungs
        """Finds the lungs of a study; a lung network would take its place."""

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
        """Classify a few slices of a study while the others are still being read; see `read_study`."""
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
            with clock("classify"):
                scores = self._classify(lungs, report)
            decision = self._decide(scores, lungs, provenance)
            with clock("segment"):
                opacities, decision = self._outline(lungs, scores, decision, report)
            with clock("measure"):
                upright = given if lungs.study is study else given.turned()
                measured, outside = self._measure(opacities, lungs, upright)
            del opacities  # its volumes are no longer needed when others are made
            with clock("assemble"):
                decision = self._explain(decision, scores, lungs, measured)
        except NotAssessable as stop:
            decision = stop.decision(study.digest, provenance)
            return Diagnosis(study, decision, None, quality.warnings(study), provenance, clock.total())
        notices = (*quality.warnings(lungs.study), *fitness.lung_warnings(lungs), *outside, *doubts_about(decision))
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

    def _decide(self, scores: Scores, lungs: LungSlices, provenance: Provenance) -> Decision:
        rule, study = self.settings.rule, lungs.study
        decision = decide(scores.probabilities, lungs.extents_mm, len(study), rule)
        return replace(
            fitness.without_empty_negative(decision, lungs),
            scores=slice_scores(lungs, scores, rule.slice_probability),
            typicality=check_typicality(scores, self.classifier.usual),
            digest=study.digest,
            provenance=provenance,
        )

    def _outline(
        self, lungs: LungSlices, scores: Scores, decision: Decision, report: Reporter
    ) -> tuple[Opacities, Decision]:
        """Outline opacities on suspect slices (paper §III-C: of positive patients), and cross-check the decision."""
        positive = decision.verdict is Verdict.POSITIVE
        level = self.settings.suspect_probability if positive else self.settings.rule.slice_probability
        suspect = np.flatnonzero(scores.probabilities >= level)
        outliner = Outliner(self.segment, self.settings.lesion_probability, self.segmenter.consolidation_hu)
        opacities, agreement = outliner.outline_suspects(lungs, suspect, decision, report)
        return opacities, replace(decision, cross_check=agreement)

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
        if thresholds is not None and _around(thresholds, above):
            measured = with_intervals(measured, opacities.probability, thresholds, study, within)
        return measured, outside_given_lungs(opacities.above(above), given, measured=False)

    def _explain(self, decision: Decision, scores: Scores, lungs: LungSlices, measured: Measured) -> Decision:
        """The decision with its activation maps, and whether these lie where opacities are."""
        maps = activation_volume(lungs, scores)
        infected = lungs.indices[scores.probabilities > self.settings.rule.slice_probability]
        check = check_explanation(maps, measured.lungs, measured.labels, infected, lungs.box, lungs.study)
        return replace(decision, activation=maps, explanation=check)

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
        thresholds, calibration = self.segmenter.area_thresholds, self.classifier.calibration
        settings = {
            **asdict(self.settings),
            "device": self.device,
            "calibration": None if calibration is None else asdict(calibration),
            "area_thresholds": None if thresholds is None else asdict(thresholds),
            "consolidation_hu": self.segmenter.consolidation_hu,
            "given_masks": given.names(),
        }
        return Provenance(__version__, self.weights, settings)


def _around(thresholds: AreaThresholds, above: int) -> bool:
    """Whether an outline lies between the thresholds; else no interval can be around its volume."""
    return bool(thresholds.levels[0] <= above <= thresholds.levels[1])
