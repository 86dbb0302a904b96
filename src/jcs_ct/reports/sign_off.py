"""A result is signed: its reports say by whom, when and why, and nothing is measured or drawn again.

What is signed is a folder of reports as `write_reports` leaves it. What does not change is not copied: the new folder
gives the same files a second name.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pypdf import PdfReader, PdfWriter

from jcs_ct.diagnosis.review import Judgement, Review
from jcs_ct.errors import UsageError
from jcs_ct.reports.dicom_report import FOLDER as DICOM_FOLDER
from jcs_ct.reports.dicom_review import signed_pdf, signed_report, succeed
from jcs_ct.reports.html_report import SLOT_BEGIN, SLOT_END, render_sign_off
from jcs_ct.reports.json_report import review_document
from jcs_ct.reports.pdf_report import render_sign_off_page
from jcs_ct.study.quiet import quiet_libraries

MEANINGS = {
    Judgement.ACCEPTED: "A person looked at this result and stands by it.",
    Judgement.REJECTED: "A person looked at this result and does not stand by it. Do not use it.",
}
_REPORT = f"{DICOM_FOLDER}/report.sr.dcm"
_DOCUMENT = f"{DICOM_FOLDER}/report.pdf.dcm"


def sign_reports(measured: Path, target: Path, review: Review, predecessor: Path) -> None:
    """Write the reports of a result with a sign-off into a new folder.

    Args:
        measured: the reports as they were before anybody signed them.
        target: the new folder.
        review: the sign-off.
        predecessor: the reports that the new ones take the place of: `measured`, or an earlier sign-off of it.

    Raises:
        UsageError: `measured` holds no reports, or what an earlier version wrote, which has no place for a sign-off.
    """
    amend: dict[str, Callable[[Path, Path], object]] = {
        "result.json": lambda old, new: _sign_json(old, new, review),
        "report.html": lambda old, new: _sign_html(old, new, review),
        "report.pdf": lambda old, new: new.write_bytes(_signed_pdf(old, review, _document(measured))),
        _REPORT: lambda old, new: _save(signed_report(dcmread(old), dcmread(predecessor / _REPORT), review), new),
        _DOCUMENT: lambda old, new: _sign_document(old, new, review, target, dcmread(predecessor / _DOCUMENT)),
    }
    _document(measured)

    def written_anew(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if str((Path(folder) / name).relative_to(measured)) in amend}

    shutil.copytree(measured, target, copy_function=link_or_copy, ignore=written_anew)
    with quiet_libraries():
        for name, write in amend.items():
            if (measured / name).exists():
                write(measured / name, target / name)


def succeed_report(reports: Path, predecessor: Path) -> None:
    """Have a structured report that was just written name the one in `predecessor` that it takes the place of."""
    if (reports / _REPORT).exists() and (predecessor / _REPORT).exists():
        report = dcmread(reports / _REPORT)
        succeed(report, dcmread(predecessor / _REPORT, specific_tags=_IDENTITY))
        _save(report, reports / _REPORT)


_IDENTITY = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"]


def link_or_copy(old: Path | str, new: Path | str) -> None:
    """Give a file that never changes a second name, or a second copy where that cannot be done."""
    try:
        os.link(old, new)
    except OSError:  # a disk that knows no links, or a file with too many names
        shutil.copyfile(old, new)


def _document(measured: Path) -> dict[str, Any]:
    path = measured / "result.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(document["input"]["digest"], str)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UsageError(f"{path.name} cannot be read ({error!r}); expected the reports of a diagnosis") from error
    found: dict[str, Any] = document
    return found


def _sign_json(old: Path, new: Path, review: Review) -> None:
    document = {**_document(old.parent), "review": review_document(review)}
    new.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _sign_html(old: Path, new: Path, review: Review) -> None:
    before, begin, rest = old.read_text(encoding="utf-8").partition(SLOT_BEGIN)
    _, end, after = rest.partition(SLOT_END)
    if not begin or not end:
        raise UsageError(f"{old.name} has no place for a sign-off, as an earlier version wrote it: diagnose again")
    block = render_sign_off(review, MEANINGS[review.judgement])
    new.write_text(f"{before}{begin}{block}{end}{after}", encoding="utf-8")


def _signed_pdf(old: Path, review: Review, document: dict[str, Any]) -> bytes:
    """The pages as they were, and one more."""
    writer = PdfWriter(clone_from=old)
    page = render_sign_off_page(review, MEANINGS[review.judgement], document, first_page=len(writer.pages) + 1)
    writer.append(PdfReader(io.BytesIO(page)), import_outline=False)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def _sign_document(old: Path, new: Path, review: Review, target: Path, predecessor: Dataset) -> None:
    # The same file as beside it: `report.pdf` was signed before.
    pdf = (target / "report.pdf").read_bytes()
    _save(signed_pdf(dcmread(old), predecessor, review, pdf), new)


def _save(dataset: Dataset, path: Path) -> None:
    dataset.save_as(path, enforce_file_format=True)
