"""Names in any script: letters from fonts that have them, in the right order, or a gap that is said."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports import pdf_text
from jcs_ct.reports.pdf_report import render_pdf
from jcs_ct.reports.pdf_text import NOT_SHOWN, markup, needs_shaping, visual
from tests.diagnosis_variants import altered
from tests.reports.dicom_tools import tool

NAMES = {
    "Chinese": "王^小明",
    "Japanese": "山田^たろう ヤマダ",
    "Korean": "홍^길동",
    "Thai": "สมชาย^ใจดี",
    "Devanagari": "राम^कुमार",
    "Georgian": "გიორგი",
}


def printed(content: bytes, folder: Path) -> str:
    (folder / "report.pdf").write_bytes(content)
    call = [tool("pdftotext", "poppler-utils"), "-layout", str(folder / "report.pdf"), "-"]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout


def named(diagnosis: Diagnosis, name: str) -> Diagnosis:
    study = replace(diagnosis.study, attributes={"PatientID": "1", "PatientName": name})
    return altered(diagnosis, study=study)


@pytest.mark.parametrize("script", ["Chinese", "Japanese", "Korean", "Georgian"])
def test_names_are_printed_in_their_letters(diagnosis: Diagnosis, tmp_path: Path, script: str) -> None:
    text = printed(render_pdf(named(diagnosis, NAMES[script])), tmp_path)
    for part in NAMES[script].replace("^", " ").split():
        assert part in text
    assert NOT_SHOWN not in text


@pytest.mark.parametrize("script", sorted(NAMES))
def test_every_letter_has_a_font_and_none_is_an_empty_box(script: str) -> None:
    pdf_text.register_base()
    assert all(pdf_text._font_of(letter) is not None for letter in NAMES[script])
    assert NOT_SHOWN not in markup(NAMES[script])


def test_hebrew_and_arabic_run_from_right_to_left() -> None:
    assert visual("שלום") == "םולש"
    assert visual("Cohen שלום 12") == "Cohen 12 םולש"
    # Initial, medial and final forms of the letters, the last one leftmost.
    assert visual("محمد") == "\ufeaa\ufee4\ufea4\ufee3"
    assert visual("Müller^Jörg") == "Müller^Jörg"
    assert NOT_SHOWN not in markup("שלום محمد")


def test_letters_are_placed_where_a_word_has_one_font() -> None:
    assert needs_shaping(f"<b>{markup('สมชาย ใจดี')}</b>")
    assert not needs_shaping(markup("สมชาย-Tan"))
    assert not needs_shaping(markup("王小明 Müller שלום"))


def test_field_says_where_no_font_has_its_letters(diagnosis: Diagnosis, tmp_path: Path) -> None:
    assert markup("\U0001fae0") == NOT_SHOWN
    assert NOT_SHOWN in " ".join(printed(render_pdf(named(diagnosis, "Tan \U0001fae0")), tmp_path).split())


def test_without_installed_fonts_the_gap_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_text, "FONT_FOLDERS", ())
    assert markup("Wang 王小明 <b>") == f"Wang {NOT_SHOWN} &lt;b&gt;"
    assert markup("สมชาย") == NOT_SHOWN
    assert markup("Παπαδόπουλος Иванов שלום") == f"Παπαδόπουλος Иванов {visual('שלום')}"
