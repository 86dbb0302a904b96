"""Rows of the report's tables by region: what is shown of lungs, zones and lobes, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jcs_ct.diagnosis.measured import HuBands, Measures, RegionMeasures

_DEEPEST = 0.75  # share of a zone at which its colour is the strongest: score 5 begins there


@dataclass(frozen=True)
class RegionRow:
    """One line of the table of regions."""

    label: str
    measures: RegionMeasures
    part: bool
    """A part of the lung above it."""


@dataclass(frozen=True)
class ZoneCell:
    """One zone in the map of the lungs."""

    label: str
    share: float | None
    strength: float
    """Of its colour, 0..1."""


@dataclass(frozen=True)
class Band:
    """One aeration compartment of all opacities together."""

    label: str
    share: float
    colour: str


def region_rows(measures: Measures) -> list[RegionRow]:
    """Each lung followed by its zones from above, then lobes."""
    rows = []
    for lung in measures.lungs:
        rows.append(RegionRow(_capital(lung.name) + ("" if _is_picture(lung.name) else " lung"), lung, part=False))
        rows += [RegionRow(_part_label(zone.name, lung.name), zone, part=True) for zone in _zones_of(measures, lung)]
    return rows + [RegionRow(_capital(lobe.name), lobe, part=False) for lobe in measures.lobes]


def zone_map(measures: Measures) -> list[tuple[str, list[ZoneCell]]]:
    """The lungs as a picture shows them: by lung, the zones from above."""
    return [(_capital(lung.name), [_cell(zone, lung) for zone in _zones_of(measures, lung)]) for lung in measures.lungs]


def bands(found: HuBands | None) -> list[Band]:
    """Aeration from the thinnest to the densest; empty where values are not HU or nothing was found."""
    if found is None:
        return []
    return [
        Band("below −900 HU", found.hyperinflated, "#dfe5ea"),
        Band("−900 to −501 HU", found.normally_aerated, "#c3cfda"),
        Band("−500 to −101 HU, poorly aerated", found.poorly_aerated, "#7d9cbc"),
        Band("−100 to 100 HU, not aerated", found.non_aerated, "#1d5b96"),
        Band("above 100 HU", found.denser, "#17212b"),
    ]


def _zones_of(measures: Measures, lung: RegionMeasures) -> Sequence[RegionMeasures]:
    """From the head downwards; in the order of the pictures where head and feet are not known."""
    own = [zone for zone in measures.zones if zone.name.startswith(lung.name)]
    return own if _is_picture(lung.name) else own[::-1]


def _cell(zone: RegionMeasures, lung: RegionMeasures) -> ZoneCell:
    share = zone.lesion_share or 0.0
    return ZoneCell(_part_label(zone.name, lung.name), zone.lesion_share, min(share / _DEEPEST, 1.0))


def _is_picture(name: str) -> bool:
    return name.startswith("picture")


def _part_label(zone: str, lung: str) -> str:
    label = _capital(zone.removeprefix(lung).strip(" ,"))
    return label if _is_picture(lung) else f"{label} zone"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
