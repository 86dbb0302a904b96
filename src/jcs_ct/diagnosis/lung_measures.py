"""Measures by lung, zone and lobe, and the severity score: counts of `lung_regions` as mL, shares and scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cropped_volume import Volume
from jcs_ct.diagnosis import lung_regions
from jcs_ct.diagnosis.lung_regions import Labels, LungRegions
from jcs_ct.diagnosis.measured import Lesion, Measures, RegionMeasures, SeverityScore
from jcs_ct.diagnosis.severity import LOBAR, ZONAL, severity_score
from jcs_ct.study.volume import Geometry


@dataclass(frozen=True)
class Places:
    """What lies where."""

    lungs: tuple[RegionMeasures, ...]
    zones: tuple[RegionMeasures, ...]
    lobes: tuple[RegionMeasures, ...]
    severity: SeverityScore
    zone_of: tuple[str | None, ...]
    """(count,): zone that holds the largest part of each opacity."""
    lobe_of: tuple[str | None, ...]
    share_of: tuple[float | None, ...]
    """(count,): share of both lungs that each opacity takes."""


class _Pixels(NamedTuple):
    """(Z,) pixels of one region on each slice."""

    lung: NDArray[np.int64]
    lesion: NDArray[np.int64]
    dense: NDArray[np.int64] | None
    """Of opacities, those that are consolidated; None where that is not known."""


@dataclass(frozen=True)
class _Scale:
    """How pixels become sizes."""

    weights: NDArray[np.float64]
    """(Z,): mm that each slice stands for, or ones."""
    ml: float | None
    """Of one pixel of weight 1; None where the input cannot tell."""

    def region(self, name: str, pixels: _Pixels, places: tuple[str | None, ...] = ()) -> RegionMeasures:
        """Measures of one region; `places` are the regions of all opacities."""
        size, opaque = float(pixels.lung @ self.weights), float(pixels.lesion @ self.weights)
        dense = None if pixels.dense is None else float(pixels.dense @ self.weights)
        return RegionMeasures(
            name=name,
            lung_volume_ml=None if self.ml is None else size * self.ml,
            lesion_volume_ml=None if self.ml is None else opaque * self.ml,
            lesion_share=opaque / size if size else None,
            lesion_count=places.count(name),
            consolidation_share=None if dense is None or not opaque else dense / opaque,
        )


def measure_regions(
    labels: Volume[np.uint16],
    count: int,
    sides: Volume[np.uint8],
    lobes: Labels | None,
    geometry: Geometry | None,
    weights: NDArray[np.float64],
    ml: float | None,
    consolidation: Volume[np.bool_] | None = None,
) -> Places:
    """Measure lungs, zones and lobes.

    Args:
        labels: (Z, H, W), ids 1..count.
        count: number of opacities.
        sides: (Z, H, W) as `lung_regions.lung_sides` gives them, all opacities inside.
        lobes: (Z, H, W) labels 1..5 or 0, or None.
        geometry: of the study; None where it is not known, and then neither are the patient's sides.
        weights: (Z,): mm that each slice stands for, or ones.
        ml: of one pixel of weight 1; None where the input cannot tell.
        consolidation: (Z, H, W), counted within opacities; None where it is not told from ground glass.
    """
    counts = lung_regions.find_regions(sides, labels, geometry, lobes, consolidation)
    scale, sides_known = _Scale(weights, ml), geometry is not None or lobes is not None
    names = lung_regions.SIDES if sides_known else lung_regions.PICTURE_SIDES
    zones = lung_regions.zone_names(geometry is not None)
    sizes = lung_regions.sizes_by_region(labels, count, sides, _zone_lookup(counts), len(zones), weights)
    zone_of = _largest(sizes, zones)
    side_of = _largest(sizes.reshape(count + 1, 2, 3).sum(2), names)
    lobe_of: tuple[str | None, ...] = (None,) * count
    lobe_measures: tuple[RegionMeasures, ...] = ()
    if lobes is not None and counts.lobe_lung is not None and counts.lobe_lesion is not None:
        lookup = np.tile(np.arange(-1, len(lung_regions.LOBES)), (len(labels), 1))
        lobe_sizes = lung_regions.sizes_by_region(labels, count, lobes, lookup, len(lung_regions.LOBES), weights)
        lobe_of = _largest(lobe_sizes, lung_regions.LOBES)
        lobe_measures = tuple(
            scale.region(name, _column(counts.lobe_lung, counts.lobe_lesion, counts.lobe_dense, k), lobe_of)
            for k, name in enumerate(lung_regions.LOBES)
        )
    total = float(counts.lung.sum(1) @ weights)
    return Places(
        lungs=tuple(
            scale.region(name, _column(counts.lung, counts.lesion, counts.dense, k), side_of)
            for k, name in enumerate(names)
        ),
        zones=tuple(
            scale.region(name, _part(counts, counts.thirds, k // 3, k % 3), zone_of) for k, name in enumerate(zones)
        ),
        lobes=lobe_measures,
        severity=_severity(counts, lobe_measures, scale, geometry is not None),
        zone_of=zone_of,
        lobe_of=lobe_of,
        share_of=tuple(float(size) / total if total else None for size in sizes[1:].sum(1)),
    )


def add_places(lesions: tuple[Lesion, ...], measures: Measures, places: Places) -> tuple[tuple[Lesion, ...], Measures]:
    """Lesions and totals with what is known of their places."""
    placed = tuple(
        replace(lesion, zone=zone, lobe=lobe, share_of_lung=share)
        for lesion, zone, lobe, share in zip(lesions, places.zone_of, places.lobe_of, places.share_of, strict=True)
    )
    totals = replace(measures, lungs=places.lungs, zones=places.zones, lobes=places.lobes, severity=places.severity)
    return placed, totals


def _zone_lookup(counts: LungRegions) -> NDArray[np.int64]:
    """(Z, 3): zone (side * 3 + third) of side labels 0, 1 and 2 on each slice; -1 for none."""
    outside = np.full(len(counts.thirds), -1)
    return np.stack([outside, counts.thirds[:, 0], 3 + counts.thirds[:, 1]], axis=1)


def _largest(sizes: NDArray[np.float64], names: tuple[str, ...] | list[str]) -> tuple[str | None, ...]:
    """(count,): name of the region that holds the largest part of each opacity; None where none holds any."""
    return tuple(names[int(row.argmax())] if row.any() else None for row in sizes[1:])


def _column(lung: NDArray[np.int64], lesion: NDArray[np.int64], dense: NDArray[np.int64] | None, k: int) -> _Pixels:
    return _Pixels(lung[:, k], lesion[:, k], None if dense is None else dense[:, k])


def _part(counts: LungRegions, parts: NDArray[np.int64], side: int, part: int) -> _Pixels:
    """Pixels of one part of one side."""
    here = parts[:, side] == part
    whole = _column(counts.lung, counts.lesion, counts.dense, side)
    return _Pixels(whole.lung * here, whole.lesion * here, None if whole.dense is None else whole.dense * here)


def _severity(
    counts: LungRegions, lobes: tuple[RegionMeasures, ...], scale: _Scale, sides_known: bool
) -> SeverityScore:
    """By lobes where they are given, else by zones; see `severity`."""
    if lobes:
        return severity_score(lobes, LOBAR)
    sides = lung_regions.SIDES if sides_known else lung_regions.PICTURE_SIDES
    thirds, halves = [f"{third} third" for third in lung_regions.THIRDS], lung_regions.HALVES
    if not sides_known:
        thirds, halves = list(lung_regions.PICTURE_THIRDS), lung_regions.PICTURE_HALVES

    def regions(right: int) -> list[RegionMeasures]:
        """Thirds of the lung that is taken for the right one, halves of the other; from the head if that is known."""
        cuts = [(right, counts.thirds, k, name) for k, name in enumerate(thirds)][:: -1 if sides_known else 1]
        cuts += [(1 - right, counts.halves, k, name) for k, name in enumerate(halves)][:: -1 if sides_known else 1]
        return [scale.region(f"{sides[side]} {name}", _part(counts, parts, side, k)) for side, parts, k, name in cuts]

    return severity_score(regions(0), ZONAL, None if sides_known else regions(1))
