"""What a diagnosis holds. Plain data: reports read it, nothing in here computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.study.outlines import OutlineSource
from jcs_ct.study.volume import Study


class Verdict(StrEnum):
    """The decision on a patient."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ASSESSABLE = "not_assessable"
    NOT_ASSESSED = "not_assessed"
    """Outlines were measured, and no decision was asked for. Never to be read as negative."""


class Side(StrEnum):
    """The patient's."""

    RIGHT = "right"
    LEFT = "left"


def _side_in(name: str | None) -> Side | None:
    """The side that the name of a region begins with."""
    first = (name or "").partition(" ")[0]
    return Side(first) if first in set(Side) else None


@dataclass(frozen=True)
class SliceFinding:
    """What was found on one slice."""

    index: int
    """Position in the canonical stack, 0 at the feet (image folders: in the order of reading)."""
    source: str
    position_mm: float | None
    assessed: bool
    """False where the slice was not classified: too little lung, or no network ran. The next two fields are then
    None."""
    probability: float | None = None
    infected: bool | None = None
    lesion_area_mm2: float | None = None
    lesion_share: float | None = None
    """Lesion area over lung area on this slice, 0..1; None where the slice was not segmented or shows no lung."""
    atypicality: float | None = None
    """How far the slice lies from those that the classifier learned from; see `TypicalityCheck`."""


@dataclass(frozen=True)
class ThresholdStep:
    """The verdict as it would be at one threshold of the patient rule."""

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
    """Number of infected slices at and above which the patient is positive, on this study."""
    unit: str
    """What the threshold was derived from: "slices by mm" or "slices by fraction"."""
    infected_extent_mm: float | None
    """Length along the patient that the infected slices stand for."""
    explanation: str
    """One sentence for the reader of a report."""
    curve: tuple[ThresholdStep, ...] = ()
    """The verdict over a range of thresholds, ascending."""


@dataclass(frozen=True)
class HuBands:
    """Shares of an opacity by aeration, 0..1, together 1 (compartments of Gattinoni et al., AJRCCM 2001;164:1701)."""

    hyperinflated: float
    """Below −900 HU."""
    normally_aerated: float
    """−900 to −501 HU: as aerated as lung can be; faint ground glass lies here, too."""
    poorly_aerated: float
    """−500 to −101 HU: dense ground glass."""
    non_aerated: float
    """−100 to 100 HU: consolidation."""
    denser: float
    """Above 100 HU: calcium, contrast medium."""


@dataclass(frozen=True)
class Interval:
    """Between what a measure is taken to lie; `diagnosis.intervals` says how, and for what share of slices it holds."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"expected an interval whose low end is below its high end, found {self}")


@dataclass(frozen=True)
class ExplanationCheck:
    """Where the activation maps of the infected slices look, as means over these slices (`diagnosis.explanation`)."""

    slices: int
    """Infected slices."""
    in_lungs: float
    """Share of a map that lies in the whole lungs, 0..1."""
    chance_in_lungs: float
    """The same of a map that is equal everywhere: the share of the area that the network saw."""
    in_lesions: float
    """Share of a map that lies in outlined opacities, 0..1."""
    chance_in_lesions: float
    """The same of a map that is equal everywhere."""

    @property
    def times_chance_in_lungs(self) -> float | None:
        """How many times as much of the maps lies in the lungs as of maps that look nowhere; None without lungs."""
        return self.in_lungs / self.chance_in_lungs if self.chance_in_lungs else None

    @property
    def times_chance_in_lesions(self) -> float | None:
        """The same for outlined opacities; None where there are none."""
        return self.in_lesions / self.chance_in_lesions if self.chance_in_lesions else None


@dataclass(frozen=True)
class TypicalityCheck:
    """How far the assessed slices lie from those that the classifier learned from (`evaluation.typicality`)."""

    slices: int
    """Assessed ones."""
    median: float
    """Of their atypicality, about 1 where slices are as usual as those that were learned from."""
    unusual: float
    """A slice above this is unusual: 95 % of validation slices lie below."""
    limit: float
    """A slice above this is beyond what the classifier may judge: 99 % of validation slices lie below."""
    slices_unusual: int
    slices_beyond: int


@dataclass(frozen=True)
class CrossCheck:
    """What the segmenter says to the classifier's verdict (`diagnosis.cross_check`)."""

    slices: int
    """Looked at: of a negative study evenly over the assessed ones, of a positive one those that were segmented."""
    marked: int
    """Of these, those that show opacities."""
    threshold: float
    """So many marked slices, and more, speak for infection: the patient rule's, for as many as were looked at."""
    positive: bool
    """The verdict that this is held against."""

    @property
    def agrees(self) -> bool:
        """Whether the verdict would be the same if marked slices were the infected ones."""
        return (self.marked >= self.threshold) == self.positive


@dataclass(frozen=True)
class Lesion:
    """One connected opacity."""

    id: int
    """1 for the largest; the value of its voxels in `Diagnosis.lesion_labels`."""
    voxels: int
    volume_ml: float | None
    area_mm2: float | None
    """Largest area on one slice."""
    slices: tuple[int, int]
    """First and last slice, both included."""
    centroid_mm: tuple[float, float, float] | None
    """LPS."""
    bbox: tuple[int, int, int, int, int, int]
    """z, row and column of the first voxel and of the last voxel, inclusive: (z0, r0, c0, z1, r1, c1)."""
    mean_hu: float | None
    mean_probability: float | None = None
    """Mean segmenter probability inside, 0..1."""
    share_of_lung: float | None = None
    """Of both lungs, 0..1."""
    long_axis_mm: float | None = None
    """Longest diameter on one axial slice, from edge to edge."""
    perpendicular_mm: float | None = None
    """Extent at a right angle to the long axis, on the same slice."""
    diameter_slice: int | None = None
    """The slice that the two diameters are of."""
    pleural_distance_mm: float | None = None
    """Shortest way within an axial slice to the edge of the lung, 0 where they touch."""
    hu_bands: HuBands | None = None
    consolidation_share: float | None = None
    """Of its volume, 0..1; the rest is ground glass. None where nothing tells them apart."""
    zone: str | None = None
    """Name of the zone that holds the largest part; None where the lungs have none."""
    lobe: str | None = None
    """The same for lobes, where these were given."""
    voxels_interval: Interval | None = None
    """None where the weights hold no thresholds for it, or a user gave the outlines."""
    volume_interval_ml: Interval | None = None
    """The same in mL."""

    @property
    def side(self) -> Side | None:
        """The patient's lung that its zone belongs to; None where the input does not state which side is which."""
        return _side_in(self.zone)


@dataclass(frozen=True)
class RegionMeasures:
    """One lung, zone or lobe."""

    name: str
    lung_volume_ml: float | None
    lesion_volume_ml: float | None
    lesion_share: float | None
    """Of this region, 0..1; None where it holds no lung."""
    lesion_count: int
    """Opacities whose largest part lies here."""
    consolidation_share: float | None = None
    """Of the opacities within it, 0..1; None where there are none, or nothing tells consolidation from ground glass."""

    @property
    def side(self) -> Side | None:
        """The patient's side that the region's name begins with; None where that is not known."""
        return _side_in(self.name)


@dataclass(frozen=True)
class RegionScore:
    """One of the five regions of the CT severity score."""

    name: str
    share: float | None
    score: int | None
    """0 to 5; None where the region holds no lung."""


@dataclass(frozen=True)
class SeverityScore:
    """CT severity score over five regions (Pan et al., Radiology 2020;295:715)."""

    total: int | None
    """0 to 25; None where a region holds no lung."""
    regions: tuple[RegionScore, ...]
    basis: str
    """"lobes", or "zonal approximation" where no lobes were given."""
    mirrored_total: int | None = None
    """The total if the pictures show the patient mirrored; None where the input tells left from right."""


@dataclass(frozen=True)
class Measures:
    """Totals over the study."""

    lesion_volume_ml: float | None
    lung_volume_ml: float | None
    lesion_share_of_lung: float | None
    """Lesion voxels (weighted with their volume where known) over lung voxels, 0..1."""
    lesion_count: int
    hu_bands: HuBands | None = None
    """Of all opacities together."""
    consolidation_share: float | None = None
    """The same of consolidation, 0..1; the rest is ground glass. None where nothing tells them apart."""
    lungs: tuple[RegionMeasures, ...] = ()
    """Right and left; empty where nothing was measured."""
    zones: tuple[RegionMeasures, ...] = ()
    """Upper, middle and lower third of each lung's own extent along the patient."""
    lobes: tuple[RegionMeasures, ...] = ()
    """Empty where no lobes were given."""
    severity: SeverityScore | None = None
    lesion_volume_interval_ml: Interval | None = None
    """Of the total, not the sum over opacities; None as there."""
    lesion_share_interval: Interval | None = None
    """Of `lesion_share_of_lung`."""


@dataclass(frozen=True)
class Provenance:
    """What made the result, so that it can be traced and repeated."""

    version: str
    weights: dict[str, dict[str, str]]
    """By model: name and sha256 of the file that ran; empty where outlines were given and none ran."""
    settings: dict[str, object]
    outlines: OutlineSource | None = None
    """What was measured in place of what a network outlines; None where a network did."""
    decision: Provenance | None = None
    """What made the verdict, where that was carried over from an earlier result."""


@dataclass(frozen=True)
class FirstLook:
    """A few slices, evenly over the patient, that were classified while the others were read: no verdict."""

    seen: int
    """Slices that were looked at."""
    assessed: int
    """Of these, those that show enough lung to be classified."""
    infected: int
    """Of these, those that show signs of infection."""

    def __str__(self) -> str:
        if not self.assessed:
            return f"first look: no lungs on {self.seen} slices"
        return f"first look, provisional: {self.infected} of {self.assessed} lung slices show signs of infection"


@dataclass(frozen=True)
class Diagnosis:
    """The whole answer for one study. Its volumes are cropped: `np.asarray` makes an array of one."""

    study: Study
    verdict: Verdict
    reasons: tuple[str, ...]
    """Why the verdict is what it is; for `not_assessable` what was found and what was expected."""
    probability: float | None
    """Of the patient being positive, 0..1."""
    rule: RuleOutcome | None
    slices: tuple[SliceFinding, ...]
    lesions: tuple[Lesion, ...]
    measures: Measures
    provenance: Provenance
    timing_s: dict[str, float]
    warnings: tuple[str, ...] = ()
    lesion_labels: CroppedVolume[np.uint16] | None = field(default=None, repr=False)
    """(Z, H, W) canonical: 0 or the id of the lesion; None where nothing was segmented."""
    lung_mask: CroppedVolume[np.bool_] | None = field(default=None, repr=False)
    """(Z, H, W) canonical: the whole lungs, with what is dense in them, that shares are measured against."""
    activation: CroppedVolume[np.uint8] | None = field(default=None, repr=False)
    """(Z, H, W) canonical: activation mapping, 255 = the strongest of the study; None where nothing was classified."""
    lung_sides: CroppedVolume[np.uint8] | None = field(default=None, repr=False)
    """(Z, H, W) canonical: 0, 1 in the right and 2 in the left lung; None where the input does not state the sides."""
    explanation: ExplanationCheck | None = None
    """Whether the activation maps look at what was outlined; None where no slice is infected."""
    typicality: TypicalityCheck | None = None
    """Whether the slices are such as the classifier learned from; None where that was not asked, or not fitted."""
    cross_check: CrossCheck | None = None
    """Whether the segmenter agrees with the verdict; None where there is none."""

    @property
    def networks_disagree(self) -> bool:
        """Whether what the segmenter found speaks against the verdict; the warnings then say so."""
        return self.cross_check is not None and not self.cross_check.agrees
