"""Results folders read back: what a comparison needs of `result.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jcs_ct.diagnosis.result import HuBands, Measures, RegionMeasures, RegionScore, SeverityScore, Verdict
from jcs_ct.errors import UsageError
from jcs_ct.reports.json_report import RESULT_SCHEMA


@dataclass(frozen=True)
class StoredResult:
    """A diagnosis as far as `result.json` holds it and a comparison needs it."""

    folder: Path
    verdict: Verdict
    measures: Measures
    digest: str
    """Of the input."""
    attributes: dict[str, str]
    """What the input states: patient, dates."""
    given_masks: tuple[str, ...]
    """Masks that the user gave: "lungs", "lobes"."""

    @property
    def study_date(self) -> date | None:
        """As the input states it (DICOM DA)."""
        try:
            return date.fromisoformat(self.attributes.get("StudyDate", ""))
        except ValueError:
            return None


def read_result(folder: Path) -> StoredResult:
    """Read a results folder of `jcs diagnose`.

    Raises:
        UsageError: the folder holds no `result.json` of this format.
    """
    path = folder / "result.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); expected a results folder that jcs diagnose wrote"
        ) from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != RESULT_SCHEMA:
        raise UsageError(f"{path} is of the format {found}, expected {RESULT_SCHEMA}: diagnose the study again")
    try:
        return StoredResult(
            folder,
            Verdict(document["verdict"]),
            _measures(document["measures"]),
            document["input"]["digest"],
            document["input"]["attributes"],
            tuple(document["provenance"]["settings"].get("given_masks", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not as its schema says ({error!r}): diagnose the study again") from error


def _measures(fields: dict[str, Any]) -> Measures:
    """Measures from JSON; keys that the first version did not write may be absent."""
    bands, severity = fields.get("hu_bands"), fields.get("severity")
    lungs, zones, lobes = (
        tuple(RegionMeasures(**region) for region in fields.get(name, ())) for name in ("lungs", "zones", "lobes")
    )
    if severity is not None:
        severity = SeverityScore(**{**severity, "regions": tuple(RegionScore(**r) for r in severity["regions"])})
    plain = ("lesion_volume_ml", "lung_volume_ml", "lesion_share_of_lung", "lesion_count")
    return Measures(
        **{name: fields[name] for name in plain},
        hu_bands=None if bands is None else HuBands(**bands),
        lungs=lungs,
        zones=zones,
        lobes=lobes,
        severity=severity,
    )
