"""What a worklist shows of a result."""

from __future__ import annotations

from datetime import date
from typing import Any

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import CATALOG


def summary_of(diagnosis: Diagnosis) -> dict[str, Any]:
    """Verdict, main measures, and who and what it is as the input states it; None where it does not."""
    measures, severity = diagnosis.measures, diagnosis.measures.severity
    stated = diagnosis.study.attributes
    return {
        "verdict": str(diagnosis.verdict),
        "probability": diagnosis.probability,
        "lesion_volume_ml": measures.lesion_volume_ml,
        "lesion_share_of_lung": measures.lesion_share_of_lung,
        "severity": None if severity is None else severity.total,
        "doubts": [each.code for each in diagnosis.notices if CATALOG[each.code].short],
        "patient": {"name": stated.get("PatientName") or None, "id": stated.get("PatientID") or None},
        "study_date": _date(stated.get("StudyDate", "")),
        "description": stated.get("StudyDescription") or stated.get("SeriesDescription") or None,
    }


def _date(text: str) -> str | None:
    """A DICOM date (DA) as ISO 8601."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None
