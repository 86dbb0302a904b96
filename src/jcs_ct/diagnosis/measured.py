"""The second half of a diagnosis: opacities, lungs, measures. Plain data; read `Measured`, at the end, first."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from jcs_ct.cropped_volume import CroppedVolume


class Side(StrEnum):
    """The patient's."""

    RIGHT = "right"
    LEFT = "left"


def _side_in(name: str | None) -> Side | None:
    """The side that the name of a region begins with."""
    first = (name or "").partition(" ")[0]
    return Side(first) if first in set(Side) else None


@dataclass(frozen=True)
class SliceBurden:
    """Opacities on one slice; None if it was not segmented or the value is unknown."""

    area_mm2: float | None = None
    share: float | None = None
    """Lesion area over lung area, 0..1; None on a slice without lung."""


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
class Measured:
    """The second half of a diagnosis: opacities and lungs. Its parts agree: what is too small is in none of them."""

    labels: CroppedVolume[np.uint16] = field(repr=False)
    """(Z, H, W): 0 or the id of a lesion."""
    lesions: tuple[Lesion, ...]
    """Largest first, ids from 1."""
    measures: Measures
    lungs: CroppedVolume[np.bool_] = field(repr=False)
    """(Z, H, W): whole lungs with all that is dense in them; shares are measured against them."""
    sides: CroppedVolume[np.uint8] | None = field(repr=False)
    """(Z, H, W): 0, 1 in the right and 2 in the left lung; None if the input does not state the sides."""
    burden: tuple[SliceBurden, ...]
    """One per slice."""
