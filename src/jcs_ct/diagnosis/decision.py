"""The first half of a diagnosis: the decision and what it rests on. Plain data; read `Decision`, at the end, first."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.notices import Notice
from jcs_ct.study.outlines import OutlineSource


class Verdict(StrEnum):
    """The decision on a patient."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ASSESSABLE = "not_assessable"
    NOT_ASSESSED = "not_assessed"
    """Outlines were measured and no decision was asked for. Never read it as negative."""


@dataclass(frozen=True)
class SliceScore:
    """Evidence of infection on one slice; all None if it was not assessed."""

    probability: float | None = None
    """What decides: of both tasks, or of the classifier alone; see `DiagnoserSettings.decide_by`."""
    infected: bool | None = None
    atypicality: float | None = None
    """Distance from the classifier's training slices; see `TypicalityCheck`."""
    classifier_probability: float | None = None
    """The classifier's own probability; None if it is the one that decides."""

    @property
    def assessed(self) -> bool:
        """Whether the slice was assessed."""
        return self.infected is not None


@dataclass(frozen=True)
class ThresholdStep:
    """The verdict at one threshold of the patient rule."""

    paper_threshold: int
    """Infected slices of a thin-slice scan, as in the paper's Table IV (15, 20, 25, 30...)."""
    threshold: float
    """The same threshold in the unit of the rule for this study."""
    positive: bool


@dataclass(frozen=True)
class RuleOutcome:
    """The patient rule, applied."""

    infected_slices: int
    assessed_slices: int
    threshold: float
    """The patient is positive from this number of infected slices on, in this study."""
    unit: str
    """What the threshold was derived from: "slices by mm" or "slices by fraction"."""
    infected_extent_mm: float | None
    """Length along the patient that the infected slices stand for."""
    explanation: Notice
    """How the threshold follows from the paper's rule."""
    curve: tuple[ThresholdStep, ...] = ()
    """The verdict over a range of thresholds, ascending."""


@dataclass(frozen=True)
class Stability:
    """Number of infected slices under small perturbations (`diagnosis.stability`)."""

    fewest: int
    """With the cut of the slice probability raised and one slice taken away."""
    most: int
    """With the cut lowered and one slice added."""
    threshold: float
    """Number of slices at and above which the patient is positive."""

    @property
    def borderline(self) -> bool:
        """Whether the verdict changes between the two."""
        return self.fewest < self.threshold <= self.most


@dataclass(frozen=True)
class ExplanationCheck:
    """Where the activation maps of the infected slices lie, averaged over these slices (`diagnosis.explanation`)."""

    slices: int
    """Infected slices."""
    in_lungs: float
    """Share of a map that lies in the whole lungs, 0..1."""
    chance_in_lungs: float
    """The same of a uniform map: the lungs' share of the area that the network saw."""
    in_lesions: float
    """Share of a map that lies in outlined opacities, 0..1."""
    chance_in_lesions: float
    """The same of a uniform map."""

    @property
    def times_chance_in_lungs(self) -> float | None:
        """Share of the maps in the lungs, as a multiple of chance; None without lungs."""
        return self.in_lungs / self.chance_in_lungs if self.chance_in_lungs else None

    @property
    def times_chance_in_lesions(self) -> float | None:
        """The same for outlined opacities; None without opacities."""
        return self.in_lesions / self.chance_in_lesions if self.chance_in_lesions else None


@dataclass(frozen=True)
class TypicalityCheck:
    """Distance of the assessed slices from the classifier's training slices (`evaluation.typicality`)."""

    slices: int
    """Assessed slices."""
    median: float
    """Median of their atypicality; about 1 for slices like the training slices."""
    unusual: float
    """A slice above this is unusual: 95 % of validation slices lie below."""
    limit: float
    """The classifier must not judge a slice above this: 99 % of validation slices lie below."""
    slices_unusual: int
    slices_beyond: int


@dataclass(frozen=True)
class CrossCheck:
    """Whether each task alone would come to the same verdict (`diagnosis.cross_check`)."""

    slices: int
    """Slices that both networks saw."""
    marked: int
    """Of these, slices with opacities; under a positive verdict only the infected ones among them."""
    threshold: float
    """Number of slices at and above which a patient is positive."""
    positive: bool
    """The verdict that is checked."""
    infected_by_classifier: int | None = None
    """Slices that the classifier alone calls infected; None if it alone decides."""

    @property
    def segmenter_agrees(self) -> bool:
        """Whether the verdict would be the same if the marked slices were the infected ones."""
        return (self.marked >= self.threshold) == self.positive

    @property
    def classifier_agrees(self) -> bool:
        """Whether the classifier alone would come to the same verdict."""
        called = self.infected_by_classifier
        return called is None or (called >= self.threshold) == self.positive

    @property
    def agrees(self) -> bool:
        """Whether both do."""
        return self.segmenter_agrees and self.classifier_agrees


@dataclass(frozen=True)
class Provenance:
    """What made the result, so that it can be traced and repeated."""

    version: str
    weights: dict[str, dict[str, str]]
    """By network: name and sha256 of the file that ran; empty if no network ran."""
    settings: dict[str, object]
    outlines: OutlineSource | None = None
    """Outlines that were given; None if a network made them."""


@dataclass(frozen=True)
class FirstLook:
    """A few slices, spread evenly over the patient, classified while the others are still being read. No verdict."""

    seen: int
    """Slices that were looked at."""
    assessed: int
    """Of these, slices with enough lung to be classified."""
    infected: int
    """Of these, slices with signs of infection."""


@dataclass(frozen=True)
class Decision:
    """The first half of a diagnosis: the verdict and what it rests on. Edited outlines carry it over."""

    verdict: Verdict
    reasons: tuple[Notice, ...]
    """Why the verdict is what it is."""
    probability: float | None = None
    """Probability that the patient is positive, 0..1."""
    rule: RuleOutcome | None = None
    stability: Stability | None = None
    """Whether a small perturbation would change the verdict; None if there is no verdict."""
    scores: tuple[SliceScore, ...] = ()
    """One per slice of the study; empty if no slice was classified."""
    activation: CroppedVolume[np.uint8] | None = field(default=None, repr=False)
    """(Z, H, W) canonical: activation map, 255 = the strongest of the study; None if it was not kept."""
    explanation: ExplanationCheck | None = None
    """Where the activation maps lie, relative to lungs and opacities; None if no slice is infected."""
    typicality: TypicalityCheck | None = None
    """How close the slices are to the classifier's training slices; None if that is unknown."""
    cross_check: CrossCheck | None = None
    """Whether each task alone agrees with the verdict; None if there is no verdict."""
    digest: str = ""
    """Digest of the study that was judged."""
    provenance: Provenance | None = None
    """What made the decision; None if nothing was decided."""
