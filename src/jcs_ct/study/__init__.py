"""Files in, one `Study` out."""

from __future__ import annotations

from jcs_ct.study.quality import objections
from jcs_ct.study.reader import read_study
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
    "Geometry",
    "InputKind",
    "IntensityKind",
    "SourceGrid",
    "Study",
    "content_digest",
    "objections",
    "read_study",
    "usual_spacing",
]
