"""The printed report: its words are found in the text of the file, its pictures among the objects of the file."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct import notices
from jcs_ct.diagnosis.measured import Lesion
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.pdf_report import render_pdf, write_pdf
from tests.diagnosis_variants import altered
from tests.reports.conftest import said
from tests.reports.dicom_tools import tool

NAMES = ["diagnosis", "picture_diagnosis", "nifti_diagnosis", "not_assessable"]


def text_of(pdf: bytes, folder: Path) -> str:
    """The words of a PDF in reading order, white space made even."""
    (folder / "read.pdf").write_bytes(pdf)
    done = subprocess.run(
        [tool("pdftotext", "poppler-utils"), str(folder / "read.pdf"), "-"], capture_output=True, text=True, check=True
    )
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("name", NAMES)
def test_report_says_verdict_reasons_and_use(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    diagnosis: Diagnosis = request.getfixturevalue(name)
    (path,) = write_pdf(diagnosis, tmp_path)
    text = text_of(path.read_bytes(), tmp_path)
    assert ("Not assessable" if name == "not_assessable" else "Positive") in text
    assert notices.text(diagnosis.reasons[0]) in text
    assert "Research use only. Not a medical device." in text
    assert "12" * 32 in text, "the digest of the weights"
    assert diagnosis.study.digest in text


def test_patient_rule_lungs_and_lesions_are_listed(diagnosis: Diagnosis, tmp_path: Path) -> None:
    text = text_of(render_pdf(diagnosis), tmp_path)
    assert "Patient Phantom^Chest ID P1 Study date 2020-04-01" in text
    assert diagnosis.rule is not None
    assert notices.text(diagnosis.rule.explanation) in text
    assert "Right lung" in text
    assert "Left lung" in text
    assert "Activation mapping" in text
    assert "Largest area" in text


def test_ranges_and_checks_are_told(sure_diagnosis: Diagnosis, tmp_path: Path) -> None:
    text = text_of(render_pdf(sure_diagnosis), tmp_path)
    assert "0.31 to 988" in text
    assert "on 46 % of test slices, which took no part" in text
    assert "49 % of the activation mapping lies in the lungs" in text
    assert "Median atypicality of the 20 assessed slices: 1.04." in text


def test_markup_and_other_scripts_in_names_are_text(diagnosis: Diagnosis, tmp_path: Path) -> None:
    attributes = {**diagnosis.study.attributes, "PatientName": "<b>Люкceмбypг</b>&amp;"}
    study, words = replace(diagnosis.study, attributes=attributes), said("lower < upper & more")
    named = altered(diagnosis, study=study, reasons=(words,))
    text = text_of(render_pdf(named), tmp_path)
    assert "<b>Люкceмбypг</b>&amp;" in text
    assert "lower < upper & more" in text


def test_many_lesions_are_cut_short_and_long_words_broken(diagnosis: Diagnosis, tmp_path: Path) -> None:
    first = diagnosis.lesions[0]
    lesions: tuple[Lesion, ...] = tuple(replace(first, id=k + 1) for k in range(50))
    attributes = {**diagnosis.study.attributes, "StudyDescription": "x" * 400}
    many = altered(diagnosis, lesions=lesions, study=replace(diagnosis.study, attributes=attributes))
    assert "And 30 smaller ones" in text_of(render_pdf(many), tmp_path)


def test_same_diagnosis_gives_the_same_file(diagnosis: Diagnosis) -> None:
    assert render_pdf(diagnosis) == render_pdf(diagnosis)


def test_pages_can_be_drawn(diagnosis: Diagnosis, tmp_path: Path) -> None:
    (path,) = write_pdf(diagnosis, tmp_path)
    tool("pdftoppm", "poppler-utils")
    done = subprocess.run(
        [str(shutil.which("pdftoppm")), "-r", "20", "-png", str(path), str(tmp_path / "page")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == "", "a damaged file is drawn with complaints"
    assert 1 < len(list(tmp_path.glob("page*.png"))) < 6
