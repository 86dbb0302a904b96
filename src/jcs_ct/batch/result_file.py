"""What a batch reads of a `result.json`: what it was made from, its row of the cohort, its verdict at a threshold.

All knowledge of the format that this package has is in this module. It imports nothing of the diagnosis: a driver and
`jcs cohort` do without what takes seconds to load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]
Row = dict[str, Any]

_FAMILY = "jcs-result/"
_BATCH = "batch"
_SIDES = ("right", "left")
_LOBES = ("left upper lobe", "left lower lobe", "right upper lobe", "right middle lobe", "right lower lobe")
_REGIONS = {
    "lungs": {side: f"{side}_lung" for side in _SIDES},
    "zones": {f"{side} {zone}": f"{side}_{zone}_zone" for side in _SIDES for zone in ("upper", "middle", "lower")},
    "lobes": {lobe: lobe.replace(" ", "_") for lobe in _LOBES},
}
"""Names of regions as results have them, with the beginnings of their columns."""


def stamp(inputs: str, recipe: str) -> dict[str, Any]:
    """What tells `made_from` what a result was made from; it goes among the settings in result.json."""
    return {_BATCH: {"inputs": inputs, "recipe": recipe}}


def made_from(document: Document) -> tuple[str, str]:
    """Fingerprint of the input and recipe; empty in a result that no batch wrote."""
    stamp = document["provenance"]["settings"].get(_BATCH) or {}
    return str(stamp.get("inputs", "")), str(stamp.get("recipe", ""))


def digest_of(document: Document) -> str:
    """Digest of the input's content."""
    return str(document["input"]["digest"])


def read_document(path: Path) -> Document | None:
    """A whole `result.json`; None where there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not str(document.get("schema")).startswith(_FAMILY):
        return None
    return document


def row_of(document: Document) -> Row:
    """The cohort's columns that a result fills; what is not known is None."""
    stated, rule = document["input"]["attributes"], document["rule"] or {}
    stability = document.get("stability") or {}  # version 1 says nothing of it
    spacing = document["input"]["spacing_mm"]
    return {
        "verdict": document["verdict"],
        "borderline": stability.get("borderline"),
        "probability": document["probability"],
        "infected_slices": rule.get("infected_slices"),
        "assessed_slices": rule.get("assessed_slices"),
        "threshold": rule.get("threshold"),
        "infected_extent_mm": rule.get("infected_extent_mm"),
        "positive_up_to": positive_up_to(document),
        **_measures(document["measures"]),
        "notices": " ".join(notice_codes(document)),
        "patient_id": stated.get("PatientID"),
        "study_date": stated.get("StudyDate"),
        "study_uid": stated.get("StudyInstanceUID"),
        "series_uid": document["input"]["series_uid"],
        "kind": document["input"]["kind"],
        "slices": document["input"]["slices"],
        "slice_distance_mm": None if spacing is None else spacing[0],
        "slice_thickness_mm": document["input"]["slice_thickness_mm"],
        "kernel": stated.get("ConvolutionKernel"),
        "manufacturer": stated.get("Manufacturer"),
        "version": document["provenance"]["version"],
        "weights": " ".join(f"{name}:{file['sha256'][:12]}" for name, file in sorted(_weights(document))),
        "digest": digest_of(document),
    }


def notice_codes(document: Document) -> list[str]:
    """Codes of all that the result says about itself, in their order."""
    return list(dict.fromkeys(said["code"] for said in document.get("notices", ())))


def verdict_at(document: Document, paper_threshold: int) -> str:
    """The verdict as it would be at another threshold of the patient rule; what is not assessable stays so."""
    verdict, rule = str(document["verdict"]), document["rule"]
    if verdict not in ("positive", "negative") or rule is None:
        return verdict
    return "positive" if rule["infected_slices"] >= threshold_at(document, paper_threshold) else "negative"


def threshold_at(document: Document, paper_threshold: int) -> float:
    """A threshold of the paper's kind in slices of the study: as in the curve, or in proportion to its last step."""
    steps = {int(step["paper_threshold"]): float(step["threshold"]) for step in document["rule"]["curve"]}
    if paper_threshold in steps:
        return steps[paper_threshold]
    largest = max(steps)
    minimum = document["provenance"]["settings"]["rule"]["minimum_infected"]
    return max(round(paper_threshold * steps[largest] / largest, 3), float(minimum))


def positive_up_to(document: Document) -> int | None:
    """The highest threshold of the paper's kind at which the study is positive, 0 if at none; None without a verdict.

    The verdict at every other threshold follows from it.
    """
    rule = document["rule"]
    if rule is None or verdict_at(document, 1) not in ("positive", "negative"):
        return None
    largest = max(rule["curve"], key=lambda step: step["paper_threshold"])
    highest = int(rule["infected_slices"] * largest["paper_threshold"] / largest["threshold"]) + 1
    return next((t for t in range(highest, 0, -1) if verdict_at(document, t) == "positive"), 0)


def _weights(document: Document) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield from document["provenance"]["weights"].items()


def _measures(measures: Mapping[str, Any]) -> Row:
    volume, dense = measures["lesion_volume_ml"], measures.get("consolidation_share")
    severity = measures.get("severity") or {}
    row: Row = {
        "lesion_ml": volume,
        "lung_ml": measures["lung_volume_ml"],
        "lesion_percent": _percent(measures["lesion_share_of_lung"]),
        "lesion_count": measures["lesion_count"],
        "ground_glass_percent": None if dense is None else _percent(1 - dense),
        "consolidation_percent": _percent(dense),
        "ground_glass_ml": None if volume is None or dense is None else volume * (1 - dense),
        "consolidation_ml": None if volume is None or dense is None else volume * dense,
        "severity": severity.get("total"),
        "severity_basis": severity.get("basis"),
    }
    for kind, columns in _REGIONS.items():
        found = {region["name"]: region for region in measures.get(kind, ())}
        for name, column in columns.items():
            region = found.get(name, {})
            row[f"{column}_lesion_ml"] = region.get("lesion_volume_ml")
            row[f"{column}_lesion_percent"] = _percent(region.get("lesion_share"))
    return row


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


_NOTHING: Document = {
    "verdict": None,
    "probability": None,
    "rule": None,
    "measures": dict.fromkeys(("lesion_volume_ml", "lung_volume_ml", "lesion_share_of_lung", "lesion_count")),
    "input": {**dict.fromkeys(("series_uid", "kind", "slices", "spacing_mm", "slice_thickness_mm", "digest"))}
    | {"attributes": {}},
    "provenance": {"version": None, "weights": {}},
}
EMPTY_ROW: Row = {**dict.fromkeys(row_of(_NOTHING))}
"""The columns that a result fills, in their order."""
