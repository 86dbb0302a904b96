"""Signed reports, read back: the structured report, the page, the printed report and the JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from highdicom.sr import srread
from pydicom import dcmread
from pydicom.dataset import Dataset
from pypdf import PdfReader

from jcs_ct.diagnosis.review import Judgement, Review
from jcs_ct.errors import UsageError
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.json_report import result_schema
from jcs_ct.reports.sign_off import sign_reports
from jcs_ct.reports.writer import write_reports
from tests.reports.dicom_tools import printed_report, validation_errors
from tests.reports.real_studies import SERIES, diagnose_series
from tests.reports.series import axial_series
from tests.reports.test_html_report import Page
from tests.reports.test_pdf_report import text_of
from tests.reports.test_writer import tree

AT = datetime(2026, 11, 24, 3, 5, 9, tzinfo=UTC)
ACCEPTED = Review("anna", AT, Judgement.ACCEPTED, "agreed,\nsee the left lung <b>")
REJECTED = Review("Люба", AT + timedelta(hours=1), Judgement.REJECTED)
FORMATS = (ReportFormat.HTML, ReportFormat.PDF, ReportFormat.SEG, ReportFormat.SR, ReportFormat.CSV, ReportFormat.NIFTI)
SIGNED = {"result.json", "report.html", "report.pdf", "dicom/report.sr.dcm", "dicom/report.pdf.dcm"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of a DICOM series that nobody has signed."""
    folder = tmp_path_factory.mktemp("measured")
    write_reports(axial_series(folder / "in").diagnosis, folder / "out", FORMATS)
    return folder / "out"


@pytest.fixture(scope="module")
def accepted(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, accepted."""
    folder = tmp_path_factory.mktemp("accepted") / "out"
    sign_reports(measured, folder, ACCEPTED, measured)
    return folder


@pytest.fixture(scope="module")
def rejected(measured: Path, accepted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rejected after it was accepted."""
    folder = tmp_path_factory.mktemp("rejected") / "out"
    sign_reports(measured, folder, REJECTED, accepted)
    return folder


def report(folder: Path) -> Dataset:
    return dcmread(folder / "dicom" / "report.sr.dcm")


def without(text: str, words: tuple[str, ...]) -> list[str]:
    """Lines of a printed report but those that name a sign-off or the instance."""
    return [line for line in text.splitlines() if not any(word in line for word in words)]


def test_only_what_tells_of_it_is_written_anew(measured: Path, accepted: Path) -> None:
    before, after = tree(measured), tree(accepted)
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] != after[name]} == SIGNED
    shared = [name for name in before if (measured / name).samefile(accepted / name)]
    assert set(shared) == before.keys() - SIGNED


def test_signed_objects_are_valid(accepted: Path, rejected: Path) -> None:
    for folder in (accepted, rejected):
        for path in (folder / "dicom").iterdir():
            assert validation_errors(path) == [], path.name


def test_accepted_report_is_verified_and_final(accepted: Path) -> None:
    dataset, printed = report(accepted), printed_report(accepted / "dicom" / "report.sr.dcm")
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag, dataset.CompletionFlag) == (
        "VERIFIED", "FINAL", "COMPLETE",
    )  # fmt: skip
    (observer,) = dataset.VerifyingObserverSequence
    assert str(observer.VerifyingObserverName) == "anna"
    assert observer.VerificationDateTime == "20261124030509+0000"
    assert "Verifying Observers : 2026-11-24 03:05:09 +00:00, anna" in printed
    assert '(sign-off,99JCS,"Sign-off of the report")=(accepted,99JCS,"Accepted")' in printed
    assert '(121008,DCM,"Person Observer Name")="anna"' in printed
    assert '(121106,DCM,"Comment")="agreed,\\nsee the left lung <b>"' in printed


def test_rejected_report_stays_unverified_and_says_so(rejected: Path) -> None:
    dataset, printed = report(rejected), printed_report(rejected / "dicom" / "report.sr.dcm")
    assert (dataset.VerificationFlag, dataset.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert "VerifyingObserverSequence" not in dataset
    assert '(sign-off,99JCS,"Sign-off of the report")=(rejected,99JCS,"Rejected")' in printed
    assert '="Люба"' in printed
    assert "Accepted" not in printed
    assert "agreed" not in printed


def test_reports_are_instances_of_their_own_that_name_their_predecessor(
    measured: Path, accepted: Path, rejected: Path
) -> None:
    reports = [report(folder) for folder in (measured, accepted, rejected)]
    assert len({one.SOPInstanceUID for one in reports}) == 3
    assert len({one.SeriesInstanceUID for one in reports}) == 1
    assert [one.InstanceNumber for one in reports] == [1, 2, 3]
    for one in reports:
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    for before, after in pairwise(reports):
        (study,) = after.PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        (instance,) = series.ReferencedSOPSequence
        assert study.StudyInstanceUID == before.StudyInstanceUID
        assert series.SeriesInstanceUID == before.SeriesInstanceUID
        assert instance.ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert instance.ReferencedSOPClassUID == before.SOPClassUID


def test_measurements_are_the_same(measured: Path, accepted: Path) -> None:
    groups: list[Any] = [srread(f / "dicom" / "report.sr.dcm").content for f in (measured, accepted)]
    numbers = [[_number(m) for group in one.get_image_measurement_groups() for m in group.get_measurements()]
               + [_number(m) for group in one.get_volumetric_roi_measurement_groups() for m in group.get_measurements()]
               for one in groups]  # fmt: skip
    assert len(numbers[0]) > 10
    assert numbers[0] == numbers[1]
    before, after = (printed_report(f / "dicom" / "report.sr.dcm") for f in (measured, accepted))
    said = ("sign-off", "Observer Type", "Person Observer", "Comment)", "agreed", "Verif", "Preliminary", "Predecessor",
            "Content Date", "Instance Number")  # fmt: skip
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert without("\n".join(added), said) == []


def _number(measurement: Any) -> tuple[str, float]:
    return measurement.name.meaning, float(measurement.value)


def test_result_says_who_when_and_why(measured: Path, accepted: Path, rejected: Path) -> None:
    before, after, again = (json.loads((f / "result.json").read_text()) for f in (measured, accepted, rejected))
    for document in (before, after, again):
        jsonschema.validate(document, result_schema())
    assert "review" not in before
    assert after.pop("review") == {
        "reviewer": "anna", "at": "2026-11-24T03:05:09Z", "judgement": "accepted", "comment": ACCEPTED.comment,
    }  # fmt: skip
    assert after == before
    assert again["review"]["judgement"] == "rejected"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**before, "review": {**again["review"], "judgement": "perhaps"}}, result_schema())


def test_page_shows_the_sign_off_and_is_as_before_else(measured: Path, accepted: Path, rejected: Path) -> None:
    pages = [(folder / "report.html").read_text(encoding="utf-8") for folder in (measured, accepted, rejected)]
    before, after, again = (Page(html).text for html in pages)
    assert "Accepted by" not in before
    block = "Accepted by anna A person looked at this result and stands by it. 2026-11-24 03:05 UTC. agreed, see the left lung <b>"  # noqa: E501
    assert block in after
    assert "Rejected by Люба" in again
    assert "Accepted by" not in again
    start = pages[0].index("<!--sign-off-->")
    assert pages[1].startswith(pages[0][:start])
    assert pages[1].endswith(pages[0][start + len("<!--sign-off-->") :])
    assert "<b>" not in pages[1][start : start + 900], "markup in a comment is text"


def test_markers_in_the_input_are_not_the_slot(tmp_path: Path) -> None:
    diagnosis = axial_series(tmp_path / "in").diagnosis
    attributes = {**diagnosis.study.attributes, "PatientName": "<!--sign-off-->x<!--/sign-off-->"}
    named = replace(diagnosis, study=replace(diagnosis.study, attributes=attributes))
    write_reports(named, tmp_path / "out", [ReportFormat.HTML])
    sign_reports(tmp_path / "out", tmp_path / "signed", ACCEPTED, tmp_path / "out")
    page = Page((tmp_path / "signed" / "report.html").read_text(encoding="utf-8"))
    assert "<!--sign-off-->x<!--/sign-off-->" in page.text
    assert page.text.count("Accepted by anna") == 1
    assert page.text.index("Accepted by anna") > page.text.index("Positive")


def test_printed_report_gets_one_more_page(measured: Path, accepted: Path, rejected: Path, tmp_path: Path) -> None:
    before, after, again = (PdfReader(folder / "report.pdf") for folder in (measured, accepted, rejected))
    assert len(after.pages) == len(again.pages) == len(before.pages) + 1
    assert after.metadata is not None
    assert after.metadata.title == "JCS report: COVID-19 on chest CT"
    texts = [text_of((folder / "report.pdf").read_bytes(), tmp_path) for folder in (measured, accepted, rejected)]
    assert texts[1].startswith(texts[0].rsplit(" Page", 1)[0])
    last = texts[1][texts[1].index("Sign-off:") :]
    for words in ("Sign-off: accepted", "anna", "2026-11-24 03:05:09 UTC", "see the left lung <b>", "Positive"):
        assert words in last, words
    assert f"Page {len(after.pages)}" in last
    assert "Research use only. Not a medical device." in texts[1][len(texts[0]) :]
    assert "Sign-off: rejected" in texts[2]
    assert "Люба" in texts[2]
    assert "accepted" not in texts[2]


def test_printed_report_as_a_dicom_object_is_the_same_file(measured: Path, accepted: Path, rejected: Path) -> None:
    documents = [dcmread(folder / "dicom" / "report.pdf.dcm") for folder in (measured, accepted, rejected)]
    for folder, one in zip((measured, accepted, rejected), documents, strict=True):
        assert one.EncapsulatedDocument[: one.EncapsulatedDocumentLength] == (folder / "report.pdf").read_bytes()
    assert len({one.SOPInstanceUID for one in documents}) == 3
    assert [one.InstanceNumber for one in documents] == [1, 2, 3]
    assert [one.get("VerificationFlag") for one in documents] == [None, "VERIFIED", None]


def test_long_comment_takes_more_pages(measured: Path, tmp_path: Path) -> None:
    long = Review("anna", AT, Judgement.ACCEPTED, "\n".join(f"line {k}" for k in range(400)))
    sign_reports(measured, tmp_path / "out", long, measured)
    assert len(PdfReader(tmp_path / "out" / "report.pdf").pages) > len(PdfReader(measured / "report.pdf").pages) + 1
    text = text_of((tmp_path / "out" / "report.pdf").read_bytes(), tmp_path)
    assert "line 0 " in text
    assert "line 399" in text
    assert validation_errors(tmp_path / "out" / "dicom" / "report.sr.dcm") == []


def test_reports_without_a_place_for_a_sign_off_are_refused(measured: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "result.json").write_bytes((measured / "result.json").read_bytes())
    (old / "report.html").write_text("<html></html>")
    with pytest.raises(UsageError, match=r"report\.html has no place for a sign-off"):
        sign_reports(old, tmp_path / "out", ACCEPTED, old)
    (old / "result.json").write_text("{}")
    with pytest.raises(UsageError, match=r"result\.json cannot be read"):
        sign_reports(old, tmp_path / "other", ACCEPTED, old)


@pytest.mark.slow
def test_signed_report_of_a_real_series_is_valid(shared_data: Path, tmp_path: Path) -> None:
    diagnosis = diagnose_series(shared_data, SERIES[-1], every=1)
    write_reports(diagnosis, tmp_path / "out", [ReportFormat.SR, ReportFormat.PDF])
    sign_reports(tmp_path / "out", tmp_path / "signed", ACCEPTED, tmp_path / "out")
    for name in ("report.sr.dcm", "report.pdf.dcm"):
        assert validation_errors(tmp_path / "signed" / "dicom" / name) == []
    assert "Verification Flag   : VERIFIED" in printed_report(tmp_path / "signed" / "dicom" / "report.sr.dcm")
