"""Files in, one `Study` out."""

from __future__ import annotations

from jcs_ct.study.quality import refusals, warnings
from jcs_ct.study.reader import Contents, list_contents, read_study
from jcs_ct.study.series_choice import SeriesSummary
from jcs_ct.study.volume import (
    AIR_HU,
    Geometry,
    InputKind,
    IntensityKind,
    SourceGrid,
    Study,
    content_digest,
    usual_spacing,
)

__all__ = [
    "AIR_HU",
    "Contents",
    "Geometry",
    "InputKind",
    "IntensityKind",
    "SeriesSummary",
    "SourceGrid",
    "Study",
    "content_digest",
    "list_contents",
    "read_study",
    "refusals",
    "usual_spacing",
    "warnings",
]
