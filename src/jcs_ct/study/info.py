"""What `jcs info` prints: the contents of an input as lines for people or as a document for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from jcs_ct import notices as notice_catalog
from jcs_ct.notices import Notice, Severity, text, texts
from jcs_ct.study.quality import refusals, warnings
from jcs_ct.study.reader import Contents
from jcs_ct.study.series_choice import SeriesSummary
from jcs_ct.study.volume import Study, usual_spacing


def as_document(contents: Contents) -> dict[str, Any]:
    """Contents as plain data for JSON; what is not known is null."""
    return {
        "kind": str(contents.kind),
        "series": [_series_document(series) for series in contents.series],
        "study": None if contents.study is None else _study_document(contents.study),
        "notices": _notice_documents(contents.notices),
    }


def as_lines(contents: Contents) -> list[str]:
    """Contents as text."""
    lines = [line for series in contents.series for line in _series_lines(series)]
    if contents.study is not None:
        facts = _facts(contents.study)
        lines.append(
            f"{contents.kind}: " + ", ".join(f"{_words(key)} {value}" for key, value in facts.items() if value)
        )
        lines += [f"not assessable: {_printable(reason)}" for reason in texts(refusals(contents.study))]
        noticed = (*contents.notices, *warnings(contents.study))
        others = dict.fromkeys(one for one in noticed if one.severity is not Severity.REFUSAL)
        return [*lines, *(f"note: {_printable(text(one))}" for one in others)]
    return [*lines, *(f"note: {_printable(said)}" for said in texts(contents.notices))]


def _series_document(series: SeriesSummary) -> dict[str, Any]:
    facts = {field.name: getattr(series, field.name) for field in fields(series)}
    return {**facts, "why_not": _notice_documents(series.why_not)}


def _notice_documents(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    return [notice_catalog.as_document(one) for one in notices]


def _study_document(study: Study) -> dict[str, Any]:
    return {
        **_facts(study),
        "refusals": _notice_documents(refusals(study)),
        "warnings": _notice_documents(warnings(study)),
    }


def _facts(study: Study) -> dict[str, Any]:
    distance = usual_spacing(study.geometry)
    return {
        "intensity": str(study.intensity),
        "slices": len(study),
        "matrix": list(study.voxels.shape[1:]),
        "plane": study.plane,
        "pixel_spacing_mm": None if study.geometry is None else list(study.geometry.pixel_spacing),
        "slice_distance_mm": None if distance is None else round(distance, 3),
    }


def _series_lines(series: SeriesSummary) -> list[str]:
    facts = [series.modality, f"{series.images} images", series.plane or ""]
    if series.slices and series.slices != series.images:
        facts.append(f"{series.slices} slices of one stack")
    if series.matrix is not None:
        facts.append(f"{series.matrix[0]} x {series.matrix[1]}")
    if series.slice_thickness_mm is not None:
        facts.append(f"{series.slice_thickness_mm:g} mm thick")
    if series.slice_distance_mm is not None:
        facts.append(f"{series.slice_distance_mm:g} mm apart")
    if series.extent_mm is not None:
        facts.append(f"{series.extent_mm:g} mm in all")
    facts += [f"kernel {series.kernel}" if series.kernel else "", series.image_type.replace("\\", "/")]
    mark = "read    " if series.chosen else "left out"
    lines = [f"{mark}  {series.title}: " + ", ".join(fact for fact in facts if fact), f"          {series.series_uid}"]
    word = "but" if series.chosen else "why"
    return [_printable(line) for line in (*lines, *(f"          {word}: {reason}" for reason in texts(series.why_not)))]


def _words(key: str) -> str:
    return key.replace("_mm", " (mm)").replace("_", " ")


def _printable(text: str) -> str:
    """Without control characters: descriptions come from files, and a terminal obeys what it is sent."""
    return "".join(character if character.isprintable() else "?" for character in text)
