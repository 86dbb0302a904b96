"""Tables for spreadsheets and statistics: slices, lesions, measures and notices (RFC 4180, UTF-8).

The columns carry the names of result.json. An unknown value is an empty field.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from jcs_ct.diagnosis.measured import HuBands, Lesion
from jcs_ct.diagnosis.result import Diagnosis, SliceFinding
from jcs_ct.notices import text
from jcs_ct.reports.json_report import plain

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_csvs(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write `slices.csv`, `lesions.csv`, `measures.csv` and `notices.csv` into `folder`."""
    findings = [asdict(finding) for finding in diagnosis.slices]
    return [
        _write(folder / "slices.csv", [field.name for field in fields(SliceFinding)], findings),
        _write(folder / "lesions.csv", _lesion_columns(), [_lesion_row(lesion) for lesion in diagnosis.lesions]),
        _write(folder / "measures.csv", ["name", "region", "value", "unit"], _measures(diagnosis)),
        _write(folder / "notices.csv", ["code", "severity", "reason", "text"], _notices(diagnosis)),
    ]


def _notices(diagnosis: Diagnosis) -> Iterable[dict[str, Any]]:
    """Everything that is said, the reasons of the verdict first."""
    for reason, said in ((True, diagnosis.reasons), (False, diagnosis.notices)):
        for each in said:
            yield {"code": each.code, "severity": each.severity, "reason": reason, "text": text(each)}


def _lesion_columns() -> list[str]:
    spread = {
        "slices": ["first_slice", "last_slice"],
        "centroid_mm": ["centroid_x_mm", "centroid_y_mm", "centroid_z_mm"],
        "bbox": ["first_row", "first_column", "last_row", "last_column"],
        "zone": ["side", "zone"],
        "hu_bands": [_band_column(band.name) for band in fields(HuBands)],
        "voxels_interval": ["voxels_low", "voxels_high"],
        "volume_interval_ml": ["volume_low_ml", "volume_high_ml"],
    }
    return [name for field in fields(Lesion) for name in spread.get(field.name, [field.name])]


def _band_column(band: str) -> str:
    return f"share_{band}"


def _lesion_row(lesion: Lesion) -> dict[str, Any]:
    row = asdict(lesion)
    row["side"] = lesion.side
    bands = row.pop("hu_bands") or {}
    row |= {_band_column(band.name): bands.get(band.name) for band in fields(HuBands)}
    row["voxels_low"], row["voxels_high"] = _ends(row.pop("voxels_interval"))
    row["volume_low_ml"], row["volume_high_ml"] = _ends(row.pop("volume_interval_ml"))
    row["first_slice"], row["last_slice"] = row.pop("slices")
    _, row["first_row"], row["first_column"], _, row["last_row"], row["last_column"] = row.pop("bbox")
    centroid = row.pop("centroid_mm") or (None, None, None)
    return {**row, **dict(zip(("centroid_x_mm", "centroid_y_mm", "centroid_z_mm"), centroid, strict=True))}


def _ends(interval: Mapping[str, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval["low"], interval["high"])


def _measures(diagnosis: Diagnosis) -> Iterable[dict[str, Any]]:
    """One row a number: of the patient, then of each lung, zone and lobe, then the severity score."""
    totals, rule = diagnosis.measures, diagnosis.rule
    rows: list[tuple[str, str, Any, str]] = [
        ("verdict", "", diagnosis.verdict, ""),
        ("probability", "", diagnosis.probability, "1"),
    ]
    if rule is not None:
        rows += [
            ("infected_slices", "", rule.infected_slices, "slices"),
            ("assessed_slices", "", rule.assessed_slices, "slices"),
            ("threshold", "", rule.threshold, "slices"),
            ("infected_extent_mm", "", rule.infected_extent_mm, "mm"),
        ]
    if diagnosis.stability is not None:
        rows.append(("borderline", "", diagnosis.borderline, ""))
    if (usual := diagnosis.typicality) is not None:
        rows.append(("atypicality", "", usual.median, "1"))
    if (look := diagnosis.cross_check) is not None:
        rows += [
            ("looked_at_slices", "", look.slices, "slices"),
            ("marked_slices", "", look.marked, "slices"),
            ("networks_agree", "", look.agrees, ""),
        ]
    volume, share = (
        (None, None) if interval is None else (interval.low, interval.high)
        for interval in (totals.lesion_volume_interval_ml, totals.lesion_share_interval)
    )
    rows += [
        ("lesion_volume_ml", "", totals.lesion_volume_ml, "mL"),
        ("lesion_volume_low_ml", "", volume[0], "mL"),
        ("lesion_volume_high_ml", "", volume[1], "mL"),
        ("lung_volume_ml", "", totals.lung_volume_ml, "mL"),
        ("lesion_share_of_lung", "", totals.lesion_share_of_lung, "1"),
        ("lesion_share_of_lung_low", "", share[0], "1"),
        ("lesion_share_of_lung_high", "", share[1], "1"),
        ("lesion_count", "", totals.lesion_count, "1"),
        ("consolidation_share", "", totals.consolidation_share, "1"),
    ]
    for region in (*totals.lungs, *totals.zones, *totals.lobes):
        rows += [
            ("lesion_volume_ml", region.name, region.lesion_volume_ml, "mL"),
            ("lung_volume_ml", region.name, region.lung_volume_ml, "mL"),
            ("lesion_share_of_lung", region.name, region.lesion_share, "1"),
            ("lesion_count", region.name, region.lesion_count, "1"),
            ("consolidation_share", region.name, region.consolidation_share, "1"),
        ]
    if totals.severity is not None:
        rows.append(("severity_score", "", totals.severity.total, "of 25"))
        rows += [("severity_score", region.name, region.score, "of 5") for region in totals.severity.regions]
    return [dict(zip(("name", "region", "value", "unit"), row, strict=True)) for row in rows]


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return path


def _cell(value: object) -> object:
    """A value as JSON would have it; text that a spreadsheet would run as a formula is made plain by an apostrophe."""
    simple = plain(value)
    if isinstance(simple, str) and simple.startswith(_FORMULA_STARTS):
        return f"'{simple}"
    return simple
