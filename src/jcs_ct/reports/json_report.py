"""`result.json`: the whole diagnosis for machines, without its voxels. Its JSON Schema is `result.schema.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.review import Review
from jcs_ct.notices import as_document
from jcs_ct.study.volume import Study, usual_spacing

RESULT_SCHEMA = "jcs-result/2"
"""Name and version of the format. The number grows when readers of the old one would break; see `result_versions`."""


def write_json(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write `result.json` into `folder`."""
    path = folder / "result.json"
    text = json.dumps(result_document(diagnosis), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return [path]


def result_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything that `result.json` holds, as plain data.

    A number that is unknown or not finite is None: JSON has no NaN.
    """
    rule, check, made = diagnosis.rule, diagnosis.cross_check, diagnosis.decision.provenance
    steady = diagnosis.stability
    document = {
        "schema": RESULT_SCHEMA,
        "verdict": diagnosis.verdict,
        "notices": [
            *({**as_document(each), "reason": True} for each in diagnosis.reasons),
            *({**as_document(each), "reason": False} for each in diagnosis.notices),
        ],
        "probability": diagnosis.probability,
        "rule": None if rule is None else {**vars(rule), "explanation": as_document(rule.explanation)},
        "stability": None if steady is None else {**asdict(steady), "borderline": steady.borderline},
        "slices": [asdict(finding) for finding in diagnosis.slices],
        "lesions": [asdict(lesion) for lesion in diagnosis.lesions],
        "measures": asdict(diagnosis.measures),
        "explanation": None if diagnosis.explanation is None else asdict(diagnosis.explanation),
        "typicality": None if diagnosis.typicality is None else asdict(diagnosis.typicality),
        "cross_check": None if check is None else {**asdict(check), "agrees": check.agrees},
        "input": _input(diagnosis.study),
        "provenance": {
            **asdict(diagnosis.provenance),
            "decision": asdict(made) if made is not None and diagnosis.carried_over else None,
        },
        "timing_s": diagnosis.timing_s,
    }
    reduced: dict[str, Any] = plain(document)
    return reduced


def review_document(review: Review) -> dict[str, Any]:
    """What `result.json` says of a sign-off."""
    return {
        "reviewer": review.reviewer,
        "at": review.when,
        "judgement": str(review.judgement),
        "comment": review.comment,
    }


def result_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `result.json`."""
    return shipped_schema("result.schema.json")


def shipped_schema(name: str) -> dict[str, Any]:
    """A JSON Schema that ships beside the reports, by its file's name."""
    text = resources.files("jcs_ct.reports").joinpath(name).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _input(study: Study) -> dict[str, Any]:
    geometry = study.geometry
    return {
        "kind": study.kind,
        "intensity": study.intensity,
        "series_uid": study.series_uid,
        "digest": study.digest,
        "slices": len(study),
        "rows": study.voxels.shape[1],
        "columns": study.voxels.shape[2],
        "spacing_mm": None if geometry is None else [usual_spacing(geometry), *geometry.pixel_spacing],
        "slice_thickness_mm": None if geometry is None else geometry.slice_thickness,
        "plane": study.plane,
        "attributes": study.attributes,
    }


def plain(value: object) -> Any:
    """Reduce numpy scalars, enums, paths, tuples, mappings and dataclasses to what JSON knows; NaN becomes None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value):
        return plain(vars(value))
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)
