"""The table of a batch, of stand-ins for results."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jcs_ct.batch.cohort import CohortOptions, verdict_at, write_cohort
from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Record, Records, State, Why
from jcs_ct.batch.result_file import (
    EMPTY_ROW,
    positive_up_to,
    row_of,
    threshold_at,
)
from jcs_ct.batch.result_file import verdict_at as verdict_of
from jcs_ct.diagnosis.lung_regions import LOBES
from jcs_ct.errors import UsageError
from tests.batch.stand_in import result

KEY = b"k" * 32


def put(records: Records, name: str, infected: int, patient: str = "P1", day: str = "20200401") -> Record:
    document = result("i", "r", patient, day, infected)
    (records.result(name)).mkdir(parents=True)
    (records.result(name) / "result.json").write_text(json.dumps(document))
    record = Record(name, State.DONE, f"/data/{name}", "i", "r", seconds=1.5, row=row_of(document))
    records.write(record)
    return record


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path / "out")
    put(made, "a", 10, "P1", "20200401")
    put(made, "b", 27, "P1", "20200411")
    put(made, "c", 60, "P2", "20200402")
    made.picture("b").write_bytes(b"jpeg")
    made.write(Record("d", State.FAILED, "/data/d", "i", "r", why=Why.UNREADABLE, reason="=broken"))
    made.write(Record("e", State.QUARANTINED, "/data/e\nx", "i", "r", 2, Why.MEMORY, "more than 4 GiB"))
    return made


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_row_a_study(records: Records) -> None:
    write_cohort(records, records.root, CohortOptions())
    rows = {row["study"]: row for row in table(records.root / "cohort.csv")}
    assert list(rows) == ["a", "b", "c", "d", "e"]
    assert [rows[name]["verdict"] for name in "abcde"] == ["negative", "positive", "positive", "", ""]
    b = rows["b"]
    assert (b["infected_slices"], b["threshold"], b["positive_up_to"], b["borderline"]) == ("27", "25.0", "27", "true")
    assert (float(b["lesion_ml"]), float(b["lesion_percent"])) == (270.0, 6.75)
    assert (float(b["ground_glass_ml"]), float(b["consolidation_percent"])) == (202.5, 25.0)
    assert (b["right_lung_lesion_percent"], b["left_lung_lesion_ml"], b["left_lung_lesion_percent"]) == (
        "50.0",
        "2.0",
        "",
    )
    assert (b["notices"], b["kernel"], b["slice_distance_mm"], b["seconds"]) == ("gap", "LUNG", "1.0", "1.5")
    assert (rows["d"]["why"], rows["d"]["reason"]) == ("unreadable input", "'=broken")
    assert rows["e"]["input"] == "/data/e\nx"


def test_columns_of_failures_are_those_of_results(records: Records) -> None:
    rows = write_cohort(records, records.root, CohortOptions((30,))).rows
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert set(EMPTY_ROW) == set(row_of(result("i", "r")))


def test_rows_made_anew_are_those_that_workers_made(records: Records) -> None:
    made = [write_cohort(records, records.root, CohortOptions(), anew).rows for anew in (True, False)]
    assert made[0] == made[1]


def test_result_whose_record_was_lost_has_a_row(records: Records) -> None:
    (records.records / "b.json").unlink()
    rows = write_cohort(records, records.root, CohortOptions()).rows
    assert {row["study"]: row["verdict"] for row in rows}["b"] == "positive"


def test_verdicts_at_other_thresholds(records: Records) -> None:
    rows = write_cohort(records, records.root, CohortOptions((10, 28))).rows
    assert [row["verdict_at_10"] for row in rows] == ["positive", "positive", "positive", None, None]
    assert [row["verdict_at_28"] for row in rows] == ["negative", "negative", "positive", None, None]


@pytest.mark.parametrize("infected", [0, 1, 2, 14, 15, 24, 25, 30, 99])
@pytest.mark.parametrize("scale", [1.0, 0.2, 0.125, 1 / 0.7])
def test_highest_threshold_tells_the_verdict_at_all(infected: int, scale: float) -> None:
    document = result("i", "r", infected=infected)
    for step in document["rule"]["curve"]:
        step["threshold"] = max(round(step["paper_threshold"] * scale, 3), 2.0)
    row = row_of(document)
    for threshold in range(1, 200):
        assert verdict_at(row, threshold) == verdict_of(document, threshold), threshold


def test_thresholds_between_those_of_the_curve_are_in_proportion() -> None:
    document = result("i", "r")
    for step in document["rule"]["curve"]:
        step["threshold"] = round(step["paper_threshold"] / 8, 3)
    assert threshold_at(document, 20) == 2.5
    assert threshold_at(document, 18) == 2.25
    assert threshold_at(document, 1) == 2.0


def test_what_has_no_verdict_has_none_at_any_threshold() -> None:
    document = {**result("i", "r", infected=90), "verdict": "not_assessable"}
    row = row_of(document)
    assert positive_up_to(document) is None
    assert verdict_at(row, 10) == "not_assessable"
    assert row_of({**document, "rule": None})["infected_slices"] is None


def test_constants_are_those_of_the_diagnosis() -> None:
    for lobe in LOBES:
        assert f"{lobe.replace(' ', '_')}_lesion_ml" in EMPTY_ROW


def test_deidentified_table_names_nobody(records: Records, tmp_path: Path) -> None:
    identified = write_cohort(records, records.root, CohortOptions()).rows
    hidden = write_cohort(records, tmp_path / "hidden", CohortOptions(key=KEY)).rows
    texts = "".join(
        (tmp_path / "hidden" / name).read_text() for name in ("cohort.csv", "cohort.html", "follow_ups.csv")
    )
    for word in ("P1", "P2", "/data", "20200401", "20200411", "broken", "1.2.3,"):
        assert word not in texts, word
    assert not re.search(r"\b[abcde]\b", ",".join(row["study"] for row in hidden))
    assert [row["verdict"] for row in hidden] == [row["verdict"] for row in identified]
    assert hidden[0]["patient_id"] == hidden[1]["patient_id"] != hidden[2]["patient_id"]
    again = write_cohort(records, tmp_path / "again", CohortOptions(key=KEY)).rows
    assert again == hidden
    other = write_cohort(records, tmp_path / "other", CohortOptions(key=b"o" * 32)).rows
    assert other[0]["patient_id"] != hidden[0]["patient_id"]


def test_follow_ups_that_cannot_be_compared_say_why(records: Records) -> None:
    write_cohort(records, records.root, CohortOptions())
    (pair,) = table(records.root / "follow_ups.csv")
    assert (pair["patient_id"], pair["earlier"], pair["later"], pair["days"]) == ("P1", "a", "b", "10")
    assert pair["change_ml"] == ""
    assert pair["notices"]


def test_parquet_has_the_same_rows(records: Records) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = write_cohort(records, records.root, CohortOptions((30,))).rows
    read = parquet.read_table(records.root / "cohort.parquet")
    assert read.to_pylist() == rows
    assert str(read.schema.field("right_lower_lobe_lesion_ml").type) == "double"  # though no study has lobes


def test_without_pyarrow_there_is_csv(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jcs_ct.batch.cohort.import_pyarrow", lambda: None)
    files = [path.name for path in write_cohort(records, records.root, CohortOptions()).files]
    assert files == ["cohort.csv", "follow_ups.csv", "cohort.html"]


class Page(HTMLParser):
    """What a page holds and asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.cells = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        self.cells += tag == "td"


def test_page_shows_all_and_loads_nothing_from_elsewhere(records: Records) -> None:
    write_cohort(records, records.root, CohortOptions())
    text = (records.root / "cohort.html").read_text()
    page = Page(text)
    assert "Cohort of 5 studies" in text
    assert "more than 4 GiB" in text
    assert "pictures/b.jpg" in page.links
    for link in page.links:
        assert (records.root / link).exists(), link
    assert not re.search(r"https?:", text)


def test_page_escapes_what_files_say(records: Records) -> None:
    records.write(replace(put(records, "f", 30, "<script>alert(1)</script>"), reason="<b>"))
    write_cohort(records, records.root, CohortOptions())
    text = (records.root / "cohort.html").read_text()
    assert "<script>alert" not in text
    assert text.count("<script") == 1


def test_large_cohort_is_cut_in_the_page_and_not_in_the_table(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jcs_ct.batch.cohort_page.MOST_ROWS", 2)
    write_cohort(records, records.root, CohortOptions())
    text = (records.root / "cohort.html").read_text()
    assert "The 2 studies with the largest opacities of 5" in text
    assert len(table(records.root / "cohort.csv")) == 5


def test_folder_without_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no results of a batch"):
        write_cohort(Records(tmp_path / "empty"), tmp_path / "empty", CohortOptions())


def test_record_is_read_as_it_was_written(records: Records) -> None:
    for record in records.all():
        assert Record.from_json(record.as_json()) == record
    fields: dict[str, Any] = json.loads(next(records.all()).as_json())
    assert "voxels" not in fields
    assert Item("a", "b") == Item("a", "b")
