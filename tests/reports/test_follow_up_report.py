"""Two results written, read back and compared: the known change, on the page and in JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from jcs_ct import cli
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.follow_up import compare
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.notices import texts
from jcs_ct.reports.follow_up_report import follow_up_schema, signed, study_notices, write_follow_up
from jcs_ct.reports.json_report import write_json
from jcs_ct.reports.stored_result import StoredResult, read_result
from tests.phantoms import CONSOLIDATION_RIGHT, GROUND_GLASS_LEFT, ChestPhantom, Lesion
from tests.reports.conftest import diagnose
from tests.reports.test_html_report import Page

GROWN = Lesion(GROUND_GLASS_LEFT.centre_mm, (33.0, 30.0, 30.0))


def at(diagnosis: Diagnosis, phantom: ChestPhantom, day: str, digest: str, folder: Path) -> StoredResult:
    """Write the result of a study of `phantom` and read it back."""
    attributes = {**diagnosis.study.attributes, "StudyDate": day}
    study = replace(diagnosis.study, voxels=phantom.hu, attributes=attributes, digest=digest * 64)
    folder.mkdir()
    write_json(diagnose(study, phantom.lesion_mask, phantom.lung_mask), folder)
    return read_result(folder)


@pytest.fixture
def then(diagnosis: Diagnosis, tmp_path: Path) -> StoredResult:
    return at(diagnosis, ChestPhantom.infected(), "20200401", "a", tmp_path / "then")


@pytest.fixture
def now(diagnosis: Diagnosis, tmp_path: Path) -> StoredResult:
    """A week later the left opacity has grown by half in every direction, and the right one is gone."""
    return at(diagnosis, ChestPhantom(lesions=(GROWN,)), "20200408", "b", tmp_path / "now")


def written(then: StoredResult, now: StoredResult, folder: Path) -> tuple[dict[str, Any], Page]:
    write_follow_up(compare(then.measures, now.measures), then, now, folder)
    document = json.loads((folder / "follow_up.json").read_text(encoding="utf-8"))
    return document, Page((folder / "follow_up.html").read_text(encoding="utf-8"))


def test_measures_survive_the_file(diagnosis: Diagnosis, tmp_path: Path) -> None:
    write_json(diagnosis, tmp_path)
    assert read_result(tmp_path).measures == diagnosis.measures


def test_the_known_change_is_in_json_and_on_the_page(then: StoredResult, now: StoredResult, tmp_path: Path) -> None:
    document, page = written(then, now, tmp_path / "out")
    assert list(Draft202012Validator(follow_up_schema()).iter_errors(document)) == []
    grown = GROWN.volume_ml - GROUND_GLASS_LEFT.volume_ml
    right, left = document["lungs"]
    assert left["change_ml"] == pytest.approx(grown, rel=0.03)
    assert left["change_percent"] == pytest.approx(100 * (1.5**3 - 1), rel=0.05)
    assert right["change_ml"] == pytest.approx(-CONSOLIDATION_RIGHT.volume_ml, rel=0.05)
    assert right["change_percent"] == -100
    total = document["total"]
    assert total["change_ml"] == pytest.approx(grown - CONSOLIDATION_RIGHT.volume_ml, rel=0.05)
    assert total["change_points"] == pytest.approx(100 * total["change_ml"] / ChestPhantom().lung_ml, rel=0.05)
    assert [zone["name"] for zone in document["zones"]] == [zone.name for zone in then.measures.zones]
    assert sum(zone["change_ml"] for zone in document["zones"]) == pytest.approx(total["change_ml"])
    assert document["interval_days"] == 7
    assert document["notices"] == []
    assert f"More opacity: {signed(total['change_ml'])}" in page.text
    assert "7 days apart" in page.text
    for zone in document["zones"]:
        assert f"{signed(zone['change_points'])}" in page.text
    assert page.text.count("Upper zone") == 6  # two maps and the table
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe"}


def test_pictures_compare_by_share(picture_diagnosis: Diagnosis, tmp_path: Path) -> None:
    results = []
    for name, lesions in (("a", ChestPhantom.infected().lesion_mask), ("b", np.zeros((40, 128, 128), bool))):
        (tmp_path / name).mkdir()
        lungs = np.asarray(picture_diagnosis.lung_mask)
        write_json(diagnose(picture_diagnosis.study, lesions & lungs, lungs), tmp_path / name)
        results.append(read_result(tmp_path / name))
    document, page = written(results[0], results[1], tmp_path / "out")
    assert list(Draft202012Validator(follow_up_schema()).iter_errors(document)) == []
    assert document["total"]["change_ml"] is None
    assert document["total"]["change_points"] < 0
    assert "Less opacity" in page.text
    assert "percentage points" in page.text
    assert not re.search(r"\d\s?mL", page.text)
    assert {one["code"] for one in document["notices"]} >= {"same-study-twice", "patient-not-named"}


def test_doubts_about_the_two_studies_are_told(then: StoredResult, now: StoredResult) -> None:
    other = replace(now, attributes={**now.attributes, "PatientID": "P2"}, verdict=Verdict.NEGATIVE)
    notices = study_notices(other, replace(then, given_masks=("lungs",)))
    text = " ".join(texts(notices))
    for expected in ("different patients (P2 and P1)", "older, by 7 days", "negative, then positive", "for only one"):
        assert expected in text, expected
    assert "P2" not in " ".join(texts(one.deidentified() for one in notices))


def test_text_from_the_input_is_escaped(then: StoredResult, now: StoredResult, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    spoiled = replace(now, attributes={"PatientName": evil, "PatientID": evil, "SeriesDescription": evil})
    _, page = written(then, spoiled, tmp_path / "out")
    assert page.all("script") == []
    assert evil in page.text


def test_an_earlier_comparison_is_replaced_and_other_files_are_not(
    then: StoredResult, now: StoredResult, tmp_path: Path
) -> None:
    written(then, now, tmp_path / "out")
    document, _ = written(now, then, tmp_path / "out")
    assert document["interval_days"] == -7
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["follow_up.html", "follow_up.json"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "follow_up.html").write_text("mine")
    with pytest.raises(UsageError, match=r"no comparison of ours"):
        written(then, now, tmp_path / "other")
    assert (tmp_path / "other" / "follow_up.html").read_text() == "mine"
    with pytest.raises(UsageError, match="cannot write the comparison"):
        written(then, now, tmp_path / "out" / "follow_up.json")


def test_what_is_no_result_is_refused(then: StoredResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a results folder"):
        read_result(tmp_path / "nowhere")
    path = then.folder / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "schema": "jcs-result/9"}), encoding="utf-8")
    with pytest.raises(UsageError, match="jcs-result/9, expected one of jcs-result/1, jcs-result/2"):
        read_result(then.folder)
    path.write_text(json.dumps({**document, "measures": {}}), encoding="utf-8")
    with pytest.raises(UsageError, match="not as its schema says"):
        read_result(then.folder)


def test_a_result_without_zones_is_read_but_not_compared(then: StoredResult, now: StoredResult) -> None:
    path = then.folder / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    for name in ("hu_bands", "lungs", "zones", "lobes", "severity"):
        del document["measures"][name]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match="diagnose it again"):
        compare(read_result(then.folder).measures, now.measures)


def test_the_command_writes_both_and_says_the_change(then: StoredResult, now: StoredResult, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["compare", str(then.folder), str(now.folder), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert re.match(r"opacities \+\d", done.output)
    assert "severity score" in done.output
    assert (tmp_path / "out" / "follow_up.html").is_file()


def test_changes_carry_their_sign() -> None:
    assert [signed(v) for v in (None, 0.0, 12.34, -0.5)] == ["–", "0", "+12.3", "−0.50"]
