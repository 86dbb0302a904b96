"""Results folders read back: what a comparison needs of `result.json`, and what edited outlines carry over of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jcs_ct.diagnosis.remeasure import EarlierResult
from jcs_ct.diagnosis.decision import (
    CrossCheck,
    ExplanationCheck,
    Provenance,
    RuleOutcome,
    ThresholdStep,
    TypicalityCheck,
    Verdict,
)
from jcs_ct.diagnosis.measured import HuBands, Interval, Measures, RegionMeasures, RegionScore, SeverityScore
from jcs_ct.diagnosis.result import SliceFinding
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
    outlines_given: bool = False
    """Whether the opacities were drawn or edited by a user."""

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
    with _document(folder) as document:
        made = document["provenance"]
        return StoredResult(
            folder,
            Verdict(document["verdict"]),
            _measures(document["measures"]),
            document["input"]["digest"],
            document["input"]["attributes"],
            tuple(made["settings"].get("given_masks", ())),
            made.get("outlines") is not None,
        )


def read_decision(folder: Path) -> EarlierResult:
    """Read from a results folder what edited outlines carry over: the decision and what it rests on.

    Raises:
        UsageError: the folder holds no `result.json` of this format.
    """
    with _document(folder) as document:
        return EarlierResult(
            digest=document["input"]["digest"],
            verdict=Verdict(document["verdict"]),
            reasons=tuple(document["reasons"]),
            probability=document["probability"],
            rule=_rule(document["rule"]),
            slices=tuple(SliceFinding(**finding) for finding in document["slices"]),
            provenance=_provenance(document["provenance"]),
            explanation=_explanation(document.get("explanation")),
            typicality=_typicality(document.get("typicality")),
            cross_check=_cross_check(document.get("cross_check")),
        )


@contextmanager
def _document(folder: Path) -> Iterator[dict[str, Any]]:
    """The content of `result.json`; what is not as its schema says ends in a UsageError, within the block too."""
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
        yield document
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not as its schema says ({error!r}): diagnose the study again") from error


def _rule(fields: dict[str, Any] | None) -> RuleOutcome | None:
    if fields is None:
        return None
    return RuleOutcome(**{**fields, "curve": tuple(ThresholdStep(**step) for step in fields["curve"])})


def _explanation(fields: dict[str, Any] | None) -> ExplanationCheck | None:
    return None if fields is None else ExplanationCheck(**fields)


def _typicality(fields: dict[str, Any] | None) -> TypicalityCheck | None:
    return None if fields is None else TypicalityCheck(**fields)


def _cross_check(fields: dict[str, Any] | None) -> CrossCheck | None:
    return None if fields is None else CrossCheck(**{name: fields[name] for name in fields if name != "agrees"})


def _interval(fields: dict[str, float] | None) -> Interval | None:
    return None if fields is None else Interval(**fields)


def _provenance(fields: dict[str, Any]) -> Provenance:
    """Without the source of outlines, which edited ones replace."""
    decision = fields.get("decision")
    return Provenance(
        fields["version"],
        fields["weights"],
        fields["settings"],
        decision=None if decision is None else _provenance(decision),
    )


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
        consolidation_share=fields.get("consolidation_share"),
        lungs=lungs,
        zones=zones,
        lobes=lobes,
        severity=severity,
        lesion_volume_interval_ml=_interval(fields.get("lesion_volume_interval_ml")),
        lesion_share_interval=_interval(fields.get("lesion_share_interval")),
    )
