"""Reads results folders back: what a comparison needs, and the decision that edited outlines carry over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jcs_ct.diagnosis.decision import (
    CrossCheck,
    Decision,
    ExplanationCheck,
    Provenance,
    RuleOutcome,
    SliceScore,
    Stability,
    ThresholdStep,
    TypicalityCheck,
    Verdict,
)
from jcs_ct.diagnosis.measured import HuBands, Interval, Measures, RegionMeasures, RegionScore, SeverityScore
from jcs_ct.errors import UsageError
from jcs_ct.notices import from_document
from jcs_ct.reports.result_versions import READABLE, upgraded


@dataclass(frozen=True)
class StoredResult:
    """The part of `result.json` that a comparison needs."""

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
        UsageError: the folder holds no readable `result.json`.
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


def read_decision(folder: Path) -> Decision:
    """Read the decision of a results folder, to carry it over to edited outlines. Activation maps are not stored.

    Raises:
        UsageError: the folder holds no readable `result.json`.
    """
    with _document(folder) as document:
        provenance = document["provenance"]
        return Decision(
            verdict=Verdict(document["verdict"]),
            reasons=tuple(from_document(each) for each in document["notices"] if each["reason"]),
            probability=document["probability"],
            rule=_rule(document["rule"]),
            stability=_stability(document.get("stability")),
            scores=tuple(
                SliceScore(
                    each["probability"], each["infected"], each.get("atypicality"), each.get("classifier_probability")
                )
                for each in document["slices"]
            ),
            explanation=_explanation(document.get("explanation")),
            typicality=_typicality(document.get("typicality")),
            cross_check=_cross_check(document.get("cross_check")),
            digest=document["input"]["digest"],
            provenance=_provenance(provenance.get("decision") or provenance),
        )


@contextmanager
def _document(folder: Path) -> Iterator[dict[str, Any]]:
    """The content of `result.json` in its present version. Errors within the block become a UsageError, too."""
    path = folder / "result.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); expected a results folder that jcs diagnose wrote"
        ) from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found not in READABLE:
        raise UsageError(f"{path} is of the format {found}, expected one of {', '.join(READABLE)}: diagnose again")
    try:
        yield upgraded(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not as its schema says ({error!r}): diagnose the study again") from error


def _rule(fields: dict[str, Any] | None) -> RuleOutcome | None:
    if fields is None:
        return None
    curve, explanation = tuple(ThresholdStep(**step) for step in fields["curve"]), from_document(fields["explanation"])
    return RuleOutcome(**{**fields, "curve": curve, "explanation": explanation})


def _stability(fields: dict[str, Any] | None) -> Stability | None:
    if fields is None:
        return None
    return Stability(**{name: fields[name] for name in fields if name != "borderline"})


def _explanation(fields: dict[str, Any] | None) -> ExplanationCheck | None:
    return None if fields is None else ExplanationCheck(**fields)


def _typicality(fields: dict[str, Any] | None) -> TypicalityCheck | None:
    return None if fields is None else TypicalityCheck(**fields)


def _cross_check(fields: dict[str, Any] | None) -> CrossCheck | None:
    return None if fields is None else CrossCheck(**{name: fields[name] for name in fields if name != "agrees"})


def _interval(fields: dict[str, float] | None) -> Interval | None:
    return None if fields is None else Interval(**fields)


def _provenance(fields: dict[str, Any]) -> Provenance:
    return Provenance(fields["version"], fields["weights"], fields["settings"])


def _measures(fields: dict[str, Any]) -> Measures:
    """Measures from JSON; keys that early releases of version 1 did not write may be absent."""
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
