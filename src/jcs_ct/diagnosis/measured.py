"""The second half of a diagnosis: opacities, lungs, measures. Plain data; read `Measured`, at the end, first."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from jcs_ct.cropped_volume import CroppedVolume


class Side(StrEnum):
    """A side of the patient."""

    RIGHT = "right"
    LEFT = "left"


def _side_in(name: str | None) -> Side | None:
    """The side at the start of a region's name."""
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
    """−900 to −501 HU: normal lung, and faint ground glass."""
    poorly_aerated: float
    """−500 to −101 HU: dense ground glass."""
    non_aerated: float
    """−100 to 100 HU: consolidation."""
    denser: float
    """Above 100 HU: calcium, contrast medium."""


@dataclass(frozen=True)
class Interval:
    """Bounds of a measurement; `diagnosis.intervals` says how they are found and how often they hold."""

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
    """The slice that both diameters were measured on."""
    pleural_distance_mm: float | None = None
    """Shortest distance within an axial slice to the edge of the lung; 0 if they touch."""
    hu_bands: HuBands | None = None
    consolidation_share: float | None = None
    """Consolidated share of its volume, 0..1; the rest is ground glass. None if the two are not told apart."""
    zone: str | None = None
    """Zone that holds the largest part; None if the lungs have no zones."""
    lobe: str | None = None
    """The same for lobes; None if no lobes were given."""
    voxels_interval: Interval | None = None
    """None if the weights hold no thresholds, or a user gave the outlines."""
    volume_interval_ml: Interval | None = None
    """The same in mL."""

    @property
    def side(self) -> Side | None:
        """The lung that its zone belongs to; None if the input does not state the sides."""
        return _side_in(self.zone)


@dataclass(frozen=True)
class RegionMeasures:
    """One lung, zone or lobe."""

    name: str
    lung_volume_ml: float | None
    lesion_volume_ml: float | None
    lesion_share: float | None
    """Opaque share of this region, 0..1; None if it holds no lung."""
    lesion_count: int
    """Number of opacities whose largest part lies here."""
    consolidation_share: float | None = None
    """Consolidated share of its opacities, 0..1; None without opacities, or if the two are not told apart."""

    @property
    def side(self) -> Side | None:
        """The side of the patient; None if it is unknown."""
        return _side_in(self.name)


@dataclass(frozen=True)
class RegionScore:
    """One of the five regions of the CT severity score."""

    name: str
    share: float | None
    score: int | None
    """0 to 5; None if the region holds no lung."""


@dataclass(frozen=True)
class SeverityScore:
    """CT severity score over five regions (Pan et al., Radiology 2020;295:715)."""

    total: int | None
    """0 to 25; None if a region holds no lung."""
    regions: tuple[RegionScore, ...]
    basis: str
    """"lobes", or "zonal approximation" if no lobes were given."""
    mirrored_total: int | None = None
    """The total if the pictures show the patient mirrored; None if the input states the sides."""


@dataclass(frozen=True)
class Measures:
    """Totals over the study."""

    lesion_volume_ml: float | None
    lung_volume_ml: float | None
    lesion_share_of_lung: float | None
    """Lesion voxels (weighted by volume if known) over lung voxels, 0..1."""
    lesion_count: int
    hu_bands: HuBands | None = None
    """Of all opacities together."""
    consolidation_share: float | None = None
    """Consolidated share of all opacities, 0..1; the rest is ground glass. None if the two are not told apart."""
    lungs: tuple[RegionMeasures, ...] = ()
    """Right and left; empty if nothing was measured."""
    zones: tuple[RegionMeasures, ...] = ()
    """Upper, middle and lower third of each lung's own extent along the patient."""
    lobes: tuple[RegionMeasures, ...] = ()
    """Empty if no lobes were given."""
    severity: SeverityScore | None = None
    lesion_volume_interval_ml: Interval | None = None
    """Bounds of the total, which are not the sums over opacities; None as for a lesion."""
    lesion_share_interval: Interval | None = None
    """Bounds of `lesion_share_of_lung`."""


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
