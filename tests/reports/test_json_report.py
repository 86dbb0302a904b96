from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from jcs_ct.diagnosis.decision import Provenance
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.json_report import result_document, result_schema, write_json
from jcs_ct.reports.stored_result import read_result
from tests.diagnosis_variants import altered


def errors(document: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(result_schema()).iter_errors(document)]


def test_schema_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(result_schema())


@pytest.mark.parametrize("name", ["diagnosis", "picture_diagnosis", "nifti_diagnosis", "not_assessable"])
def test_document_fits_its_schema(name: str, request: pytest.FixtureRequest) -> None:
    assert errors(result_document(request.getfixturevalue(name))) == []


def test_schema_refuses_what_it_does_not_know(diagnosis: Diagnosis) -> None:
    document = result_document(diagnosis)
    spoiling: tuple[dict[str, Any], ...] = (
        {"verdict": "maybe"},
        {"schema": "jcs-result/3"},
        {"probability": 1.5},
        {"extra": 1},
        {"measures": {**document["measures"], "severity": 3}},
        {"verdict": "not_assessable", "probability": None, "notices": []},
    )
    for spoil in spoiling:
        assert errors({**document, **spoil}), spoil


def test_numbers_are_those_of_the_diagnosis(diagnosis: Diagnosis) -> None:
    document = result_document(diagnosis)
    assert document["verdict"] == "positive"
    assert document["measures"]["lesion_volume_ml"] == diagnosis.measures.lesion_volume_ml
    assert document["lesions"][0]["slices"] == list(diagnosis.lesions[0].slices)
    assert document["input"]["spacing_mm"] == [5.0, 2.6, 2.6]
    assert document["input"]["slices"] == len(document["slices"]) == 40
    assert document["rule"]["curve"][0] == {"paper_threshold": 15, "threshold": 3.0, "positive": True}


def test_regions_and_score_are_in_the_document(diagnosis: Diagnosis) -> None:
    measures = result_document(diagnosis)["measures"]
    assert [region["name"] for region in measures["lungs"]] == ["right", "left"]
    assert len(measures["zones"]) == 6
    assert measures["lobes"] == []
    assert measures["severity"]["basis"] == "zonal approximation"
    assert sum(region["score"] for region in measures["severity"]["regions"]) == measures["severity"]["total"]
    assert sum(measures["hu_bands"].values()) == pytest.approx(1)


def test_intervals_and_checks_are_in_the_document(sure_diagnosis: Diagnosis, diagnosis: Diagnosis) -> None:
    document = result_document(sure_diagnosis)
    assert errors(document) == []
    assert document["explanation"] == {
        "slices": 7, "in_lungs": 0.49, "chance_in_lungs": 0.24, "in_lesions": 0.162, "chance_in_lesions": 0.041
    }  # fmt: skip
    assert document["measures"]["lesion_volume_interval_ml"]["high"] == 1234.5
    assert document["measures"]["lesion_share_interval"]["high"] == 0.456
    assert document["lesions"][1]["voxels_interval"] == {"low": 20, "high": 5000}
    assert document["lesions"][0]["volume_interval_ml"] == {"low": 0.31, "high": 987.6}
    assert document["typicality"] == {
        "slices": 20, "median": 1.04, "unusual": 1.23, "limit": 1.72, "slices_unusual": 3, "slices_beyond": 1
    }  # fmt: skip
    without = result_document(diagnosis)
    assert without["explanation"] is None
    assert without["typicality"] is None
    assert without["measures"]["lesion_volume_interval_ml"] is None
    assert {lesion["volume_interval_ml"] for lesion in without["lesions"]} == {None}


def with_composition(diagnosis: Diagnosis) -> Diagnosis:
    """The same, with a quarter of its opacities consolidated."""
    totals = diagnosis.measures
    lungs, zones = (
        tuple(replace(one, consolidation_share=0.25) for one in regions) for regions in (totals.lungs, totals.zones)
    )
    return altered(
        diagnosis,
        lesions=tuple(replace(lesion, consolidation_share=0.25) for lesion in diagnosis.lesions),
        measures=replace(totals, consolidation_share=0.25, lungs=lungs, zones=zones),
    )


def test_composition_is_in_the_document_and_read_back(diagnosis: Diagnosis, tmp_path: Path) -> None:
    known = with_composition(diagnosis)
    document = result_document(known)
    assert errors(document) == []
    assert {lesion["consolidation_share"] for lesion in document["lesions"]} == {0.25}
    write_json(known, tmp_path)
    assert read_result(tmp_path).measures.consolidation_share == 0.25
    assert read_result(tmp_path).measures.lungs[0].consolidation_share == 0.25
    assert result_document(diagnosis)["measures"]["consolidation_share"] is None


def test_optional_parts_may_be_absent(diagnosis: Diagnosis) -> None:
    document = result_document(diagnosis)
    del document["explanation"]
    del document["typicality"]
    for finding in document["slices"]:
        del finding["atypicality"]
    added = ("hu_bands", "lungs", "zones", "lobes", "severity", "lesion_volume_interval_ml", "lesion_share_interval")
    for name in (*added, "consolidation_share"):
        del document["measures"][name]
    for lesion in document["lesions"]:
        for name in ("share_of_lung", "long_axis_mm", "perpendicular_mm", "diameter_slice", "hu_bands", "zone", "lobe"):
            del lesion[name]
        for name in ("pleural_distance_mm", "voxels_interval", "volume_interval_ml", "consolidation_share"):
            del lesion[name]
    assert errors(document) == []


def test_what_pictures_cannot_tell_is_null(picture_diagnosis: Diagnosis) -> None:
    document = result_document(picture_diagnosis)
    assert document["input"]["spacing_mm"] is None
    assert document["measures"]["lesion_volume_ml"] is None
    assert document["measures"]["lesion_share_of_lung"] > 0
    assert {s["position_mm"] for s in document["slices"]} == {None}
    assert {lesion[k] for lesion in document["lesions"] for k in ("volume_ml", "centroid_mm", "mean_hu")} == {None}


def test_no_nan_or_numpy_reaches_the_file(diagnosis: Diagnosis, tmp_path: Path) -> None:
    odd = Provenance("1", {}, {"folder": Path("a/b"), "levels": np.array([0.5, np.nan]), "bad": float("inf"), "n": {3}})
    (path,) = write_json(altered(diagnosis, probability=float("nan"), provenance=odd), tmp_path)

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["probability"] is None
    assert document["provenance"]["settings"] == {"folder": "a/b", "levels": [0.5, None], "bad": None, "n": [3]}
    assert errors(document) == []
