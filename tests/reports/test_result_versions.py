"""Results of earlier versions stay readable: by the web page, `jcs compare` and `jcs measure --result`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.follow_up import compare
from jcs_ct.diagnosis.remeasure import measure_outlines
from jcs_ct.errors import UsageError
from jcs_ct.notices import Severity, text, texts
from jcs_ct.reports.deidentify import UidMap, deidentified
from jcs_ct.reports.json_report import RESULT_SCHEMA, result_schema
from jcs_ct.reports.result_versions import upgraded
from jcs_ct.reports.stored_result import read_decision, read_result
from jcs_ct.service import results
from jcs_ct.study import read_study
from tests.noticed import codes
from tests.phantoms import ChestPhantom, Lesion, write_dicom_series

OLD = Path(__file__).parent / "old_results" / "1"
"""A result as version 1 of the format had it: a phantom whose lungs are cut off at the bottom, by networks of tests."""
PHANTOM = ChestPhantom(
    lesions=(Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)), Lesion((-30.0, 0.0, -62.0), (25.0, 22.0, 20.0)))
)
KEPT = slice(14, None)
REASON = "12 of 21 assessed slices show signs of infection, at least the threshold of 5"
WARNING = "the lungs are cut off at the bottom: 115 mm of them are seen, and nothing is said about the rest"


@pytest.fixture
def old() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((OLD / "result.json").read_text(encoding="utf-8"))
    assert document["schema"] == "jcs-result/1"
    return document


def test_an_old_document_fits_the_present_schema_and_keeps_what_it_said(old: dict[str, Any]) -> None:
    new = upgraded(old)
    assert list(Draft202012Validator(result_schema()).iter_errors(new)) == []
    assert new["schema"] == RESULT_SCHEMA
    reason, warning = new["notices"]
    assert (reason["text"], reason["severity"], reason["reason"]) == (REASON, "info", True)
    assert (warning["text"], warning["severity"], warning["reason"]) == (WARNING, "warning", False)
    assert new["rule"]["explanation"]["text"] == old["rule"]["explanation"]
    for name in ("verdict", "probability", "slices", "lesions", "measures", "cross_check", "input", "provenance"):
        assert new[name] == old[name], name
    assert upgraded(new) == new


def test_reasons_of_a_refusal_are_refusals(old: dict[str, Any]) -> None:
    refused = {**old, "verdict": "not_assessable", "probability": None, "rule": None, "reasons": ["colour pictures"]}
    (reason, _) = upgraded(refused)["notices"]
    assert (reason["severity"], reason["text"]) == ("refusal", "colour pictures")


def test_sentences_that_programs_act_on_have_their_codes(old: dict[str, Any]) -> None:
    turned = "the pictures do not state their orientation; they were turned by 90° to bring the lungs side by side"
    again = "carried over from an earlier result of this study; the outlines were edited since, and measures are of "
    edited = {**old, "reasons": [REASON, again + "the edited ones"], "warnings": [turned]}
    assert [one["code"] for one in upgraded(edited)["notices"]] == ["earlier-wording", "carried-over", "quarter-turn"]


def test_the_first_name_of_the_cross_check_is_known(old: dict[str, Any]) -> None:
    found = old.pop("cross_check")
    assert upgraded({**old, "second_look": found})["cross_check"] == found
    assert upgraded(old)["cross_check"] is None


def test_the_web_page_and_a_comparison_read_an_old_result(old: dict[str, Any]) -> None:
    assert results.document(OLD) == upgraded(old)
    stored = read_result(OLD)
    assert stored.verdict is Verdict.POSITIVE
    assert stored.measures.lesion_volume_ml == old["measures"]["lesion_volume_ml"]
    assert compare(stored.measures, stored.measures).total.change_ml == 0


def test_an_old_decision_is_carried_over_and_written_anew(tmp_path: Path) -> None:
    write_dicom_series(tmp_path / "in", PHANTOM.hu[KEPT], positions=PHANTOM.positions[KEPT])
    study, decision = read_study(tmp_path / "in"), read_decision(OLD)
    assert decision.digest == study.digest
    edited = measure_outlines(study, PHANTOM.lesion_mask[KEPT], PHANTOM.lung_mask[KEPT], earlier=decision)
    assert edited.verdict is Verdict.POSITIVE
    assert codes(edited.reasons) == ["earlier-wording", "carried-over"]
    assert texts(edited.reasons)[0] == REASON
    assert edited.probability == decision.probability
    assert edited.carried_over
    assert sum(bool(one.infected) for one in edited.slices) == 12
    hidden = deidentified(edited, UidMap())
    assert codes(hidden.reasons) == codes(edited.reasons)
    assert text(hidden.reasons[0]) != REASON, "a sentence of an earlier version may name somebody"
    assert hidden.reasons[0].severity is Severity.INFO


@pytest.mark.parametrize("changes", [{"schema": "jcs-result/0"}, {"schema": None}, {"reasons": None}, {"rule": {}}])
def test_what_is_no_old_result_is_refused(old: dict[str, Any], changes: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "result")
    (tmp_path / "result" / "result.json").write_text(json.dumps({**old, **changes}), encoding="utf-8")
    with pytest.raises(UsageError, match=r"result\.json is"):
        read_decision(tmp_path / "result")
