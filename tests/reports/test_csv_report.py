"""Tables are read back and compared with the diagnosis."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.csv_report import write_csvs
from tests.diagnosis_variants import altered
from tests.reports.test_json_report import with_composition


def tables(diagnosis: Diagnosis, folder: Path) -> dict[str, list[dict[str, str]]]:
    read = {}
    for path in write_csvs(diagnosis, folder):
        with path.open(encoding="utf-8", newline="") as stream:
            read[path.name] = list(csv.DictReader(stream))
    return read


def test_rows_are_those_of_the_diagnosis(diagnosis: Diagnosis, tmp_path: Path) -> None:
    read = tables(diagnosis, tmp_path)
    assert len(read["slices.csv"]) == 40
    assert [float(row["probability"]) for row in read["slices.csv"] if row["probability"]] == [
        f.probability for f in diagnosis.slices if f.probability is not None
    ]
    for row, lesion in zip(read["lesions.csv"], diagnosis.lesions, strict=True):
        assert int(row["id"]) == lesion.id
        assert float(row["volume_ml"]) == lesion.volume_ml
        assert (int(row["first_slice"]), int(row["last_slice"])) == lesion.slices
        assert lesion.centroid_mm is not None
        assert float(row["centroid_z_mm"]) == lesion.centroid_mm[2]
        assert int(row["last_column"]) == lesion.bbox[5]
        assert row["side"] == lesion.side
    measures = {(row["name"], row["region"]): row["value"] for row in read["measures.csv"]}
    assert measures["verdict", ""] == Verdict.POSITIVE
    assert float(measures["lung_volume_ml", "right"]) == diagnosis.measures.lungs[0].lung_volume_ml


def test_intervals_have_two_columns_and_are_empty_where_there_are_none(
    sure_diagnosis: Diagnosis, diagnosis: Diagnosis, tmp_path: Path
) -> None:
    read = tables(sure_diagnosis, tmp_path)
    first = read["lesions.csv"][0]
    assert [first[name] for name in ("voxels_low", "voxels_high", "volume_low_ml", "volume_high_ml")] == [
        "10", "5000", "0.31", "987.6"
    ]  # fmt: skip
    measures = {(row["name"], row["region"]): row["value"] for row in read["measures.csv"]}
    assert measures["lesion_volume_high_ml", ""] == "1234.5"
    assert measures["lesion_share_of_lung_high", ""] == "0.456"
    read = tables(diagnosis, tmp_path)
    assert {read["lesions.csv"][0][name] for name in ("voxels_low", "volume_high_ml")} == {""}
    assert {row["value"] for row in read["measures.csv"] if row["name"].endswith(("_low", "_high_ml"))} == {""}


def test_composition_has_a_column_and_rows(diagnosis: Diagnosis, tmp_path: Path) -> None:
    read = tables(with_composition(diagnosis), tmp_path)
    assert {row["consolidation_share"] for row in read["lesions.csv"]} == {"0.25"}
    rows = {row["region"]: row["value"] for row in read["measures.csv"] if row["name"] == "consolidation_share"}
    assert (rows[""], rows["left"], rows["right upper"]) == ("0.25", "0.25", "0.25")


def test_what_is_not_known_is_empty(picture_diagnosis: Diagnosis, tmp_path: Path) -> None:
    read = tables(altered(picture_diagnosis, probability=float("nan")), tmp_path)
    assert {row["position_mm"] for row in read["slices.csv"]} == {""}
    assert {row["volume_ml"] for row in read["lesions.csv"]} == {""}
    measures = {row["name"]: row["value"] for row in read["measures.csv"]}
    assert measures["lesion_volume_ml"] == measures["probability"] == ""


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "@SUM(A1)", "+1", "-1.dcm"])
def test_file_names_are_not_run_as_formulas(diagnosis: Diagnosis, tmp_path: Path, name: str) -> None:
    study = replace(diagnosis.study, sources=(name, *diagnosis.study.sources[1:]))
    read = tables(replace(diagnosis, study=study), tmp_path)
    assert read["slices.csv"][0]["source"] == f"'{name}"


def test_negative_numbers_stay_numbers(diagnosis: Diagnosis, tmp_path: Path) -> None:
    rows = tables(diagnosis, tmp_path)["lesions.csv"]
    assert float(rows[0]["mean_hu"]) == diagnosis.lesions[0].mean_hu
    assert float(rows[0]["mean_hu"]) < 0
