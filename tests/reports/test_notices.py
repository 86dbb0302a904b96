"""No report loses a notice, plain or de-identified, and none tells a private value once it is de-identified."""

from __future__ import annotations

import csv
import json
import re
import string
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydicom import dcmread

from jcs_ct import Diagnoser, read_study
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import CATALOG, Notice, Severity, from_document, notice, text
from jcs_ct.notices.notice import Value
from jcs_ct.reports.deidentify import UidMap, deidentified
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.json_report import result_schema
from jcs_ct.reports.writer import write_reports
from jcs_ct.service import results
from tests.noticed import codes
from tests.opacity_networks import write_weights
from tests.phantoms import ChestPhantom, write_dicom_series
from tests.reports.real_studies import SERIES
from tests.reports.series import axial_series
from tests.reports.test_html_report import Page
from tests.reports.test_pdf_report import text_of

FORMATS = {ReportFormat.JSON, ReportFormat.HTML, ReportFormat.PDF, ReportFormat.SR, ReportFormat.CSV}
SENTINEL = "Zaphod"
KEY = UidMap(b"a key of sixteen bytes or more")
PAGE_FRAME = re.compile(
    r"Research use only\. Not a medical device\. Not for diagnosis or treatment\."
    r"|JCS [\w.+]+, COVID-19 on chest CT|Input \w{16}|Page \d+"
)


def filled(code: str) -> Notice:
    """A notice of this code: private values name somebody, all others fit their place in the text."""
    entry, values = CATALOG[code], {}
    for _, name, spec, _ in string.Formatter().parse(entry.text):
        if not name:
            continue
        number = spec is not None and ("|" in spec or spec.endswith(("f", "g")))
        value: Value = 2 if number else f"some {name}"
        values[name] = f"{SENTINEL} {name}" if name in entry.private else value
    return notice(code, **values)


def everything(diagnosis: Diagnosis) -> Diagnosis:
    """A diagnosis of which all is said that can be said."""
    every = [filled(code) for code in sorted(CATALOG)]
    reasons = tuple(each for each in every if each.severity is Severity.REFUSAL)
    others = tuple(each for each in every if each.severity is not Severity.REFUSAL)
    return replace(diagnosis, decision=replace(diagnosis.decision, reasons=reasons), notices=others)


def words_of_json(folder: Path) -> str:
    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert list(Draft202012Validator(result_schema()).iter_errors(document)) == []
    return " ".join(each["text"] for each in document["notices"])


def words_of_web_page(folder: Path) -> str:
    return " ".join(each["text"] for each in results.document(folder)["notices"])


def words_of_html(folder: Path) -> str:
    return Page((folder / "report.html").read_text(encoding="utf-8")).text


def words_of_pdf(folder: Path) -> str:
    return PAGE_FRAME.sub("", text_of((folder / "report.pdf").read_bytes(), folder))


def words_of_sr(folder: Path) -> str:
    items = dcmread(folder / "dicom" / "report.sr.dcm").iterall()
    return " ".join(str(item.value) for item in items if item.keyword == "TextValue")


def words_of_csv(folder: Path) -> str:
    with (folder / "notices.csv").open(encoding="utf-8", newline="") as stream:
        return " ".join(row["text"] for row in csv.DictReader(stream))


READERS: dict[str, Callable[[Path], str]] = {
    name.removeprefix("words_of_"): function for name, function in list(globals().items()) if name.startswith("words_")
}


def missing(said: Iterable[Notice], words: str) -> list[str]:
    """Codes of the notices whose sentence is not among the words; white space does not count."""
    there = "".join(words.split())
    return [each.code for each in said if "".join(text(each).split()) not in there]


def all_of(diagnosis: Diagnosis) -> tuple[Notice, ...]:
    return (*diagnosis.reasons, *diagnosis.notices)


@pytest.fixture(scope="module")
def said_all(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    return everything(axial_series(tmp_path_factory.mktemp("series") / "in").diagnosis)


@pytest.fixture(scope="module")
def plain(said_all: Diagnosis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    write_reports(said_all, folder, FORMATS)
    return folder


@pytest.fixture(scope="module")
def nameless(said_all: Diagnosis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nameless")
    write_reports(deidentified(said_all, KEY), folder, FORMATS)
    return folder


@pytest.mark.parametrize("name", READERS)
def test_no_report_loses_a_notice(name: str, said_all: Diagnosis, plain: Path) -> None:
    words = READERS[name](plain)
    assert missing(all_of(said_all), words) == []
    assert SENTINEL in words, "private values are told where nothing is de-identified"


@pytest.mark.parametrize("name", READERS)
def test_no_deidentified_report_loses_a_notice_or_tells_a_private_value(
    name: str, said_all: Diagnosis, nameless: Path
) -> None:
    words = READERS[name](nameless)
    assert missing((each.deidentified() for each in all_of(said_all)), words) == []
    assert SENTINEL not in words


def test_private_values_are_in_no_file_at_all(nameless: Path) -> None:
    for path in nameless.rglob("*.*"):
        assert SENTINEL.encode() not in path.read_bytes(), path.name


def test_notices_are_read_back_as_they_were(said_all: Diagnosis, plain: Path, nameless: Path) -> None:
    documents = [json.loads((folder / "result.json").read_text(encoding="utf-8")) for folder in (plain, nameless)]
    expected = [all_of(said_all), [each.deidentified() for each in all_of(said_all)]]
    for document, notices in zip(documents, expected, strict=True):
        assert [from_document(each) for each in document["notices"]] == [
            replace(each, private=each.private & set(each.values)) for each in notices
        ]
        reasons = [each["code"] for each in document["notices"] if each["reason"]]
        assert reasons == codes(said_all.reasons)


def holds_all(diagnosis: Diagnosis, folder: Path) -> None:
    """Write a diagnosis plain and de-identified, and look for all that it says in all reports of both."""
    for name, written in (("plain", diagnosis), ("nameless", deidentified(diagnosis, KEY))):
        out = folder / name
        write_reports(written, out, FORMATS)
        assert codes(all_of(written)) == codes(all_of(diagnosis))
        for reader in READERS.values():
            assert missing(all_of(written), reader(out)) == []
        document: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
        assert [each["code"] for each in document["notices"]] == codes(all_of(diagnosis))


def test_a_study_that_is_cut_off_says_the_same_without_its_patient(tmp_path: Path) -> None:
    phantom = ChestPhantom.infected()
    write_dicom_series(tmp_path / SENTINEL, phantom.hu[12:], positions=phantom.positions[12:])
    (tmp_path / SENTINEL / f"{SENTINEL}.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    diagnosis = Diagnoser(write_weights(tmp_path / "weights"), threads=1).run(read_study(tmp_path / SENTINEL))
    assert {"lungs-cut-off", "dicom-files-unreadable"} <= set(codes(diagnosis.notices))
    assert any(SENTINEL in text(each) for each in diagnosis.notices)
    holds_all(diagnosis, tmp_path)
    for path in (tmp_path / "nameless").rglob("*.*"):
        assert SENTINEL.encode() not in path.read_bytes(), path.name


@pytest.mark.slow
@pytest.mark.parametrize("name", SERIES)
def test_real_studies_say_the_same_without_their_patients(name: str, shared_data: Path, tmp_path: Path) -> None:
    diagnosis = Diagnoser().run(read_study(shared_data / "dicom" / name))
    assert diagnosis.reasons
    # The networks disagree on this one. Results that are de-identified once hid that.
    assert name != "lung-pet-ct-dx-A0002" or any(CATALOG[each.code].short for each in all_of(diagnosis))
    holds_all(diagnosis, tmp_path)
