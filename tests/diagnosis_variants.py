"""A diagnosis with some of its contents replaced, whichever half holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from jcs_ct.diagnosis.decision import Decision, SliceScore
from jcs_ct.diagnosis.measured import Measured, SliceBurden
from jcs_ct.diagnosis.result import Diagnosis, SliceFinding

_DECISION = {field.name for field in fields(Decision)} - {"provenance"}
_MEASURED = {field.name for field in fields(Measured)}


def altered(diagnosis: Diagnosis, **changes: Any) -> Diagnosis:
    """As `dataclasses.replace`, by the names of the fields of both halves and of `Diagnosis`.

    `slices` takes findings. `provenance` is changed in the decision, too, so that it is not carried over.
    """
    if "slices" in changes:
        found: Iterable[SliceFinding] = changes.pop("slices")
        changes["scores"] = tuple(SliceScore(one.probability, one.infected, one.atypicality) for one in found)
        changes["burden"] = tuple(SliceBurden(one.lesion_area_mm2, one.lesion_share) for one in found)
    decision = {name: changes.pop(name) for name in _DECISION & set(changes)}
    measured = {name: changes.pop(name) for name in _MEASURED & set(changes)}
    if "provenance" in changes:
        decision["provenance"] = changes["provenance"]
    if measured:
        assert diagnosis.measured is not None
        changes["measured"] = replace(diagnosis.measured, **measured)
    return replace(diagnosis, decision=replace(diagnosis.decision, **decision), **changes)
