"""Which results an input allows, and what is written for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.reports.formats import ReportFormat, check_formats, default_formats
from jcs_ct.reports.writer import write_reports
from jcs_ct.study.own_results import is_own
from tests.reports.series import axial_series

F = ReportFormat


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_dicom_gets_report_and_segmentations_by_default(tmp_path: Path) -> None:
    diagnosis = axial_series(tmp_path / "in").diagnosis
    assert default_formats(diagnosis.study) == {F.JSON, F.HTML, F.NIFTI, F.SEG, F.SR}
    write_reports(diagnosis, tmp_path / "out")
    assert names(tmp_path / "out") == {
        "result.json", "report.html", "lesions.nii.gz", "activation.nii.gz", "lungs.nii.gz",
        "dicom/lesions.seg.dcm", "dicom/lungs.seg.dcm", "dicom/report.sr.dcm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({F.JSON}, set()),
        ({F.CSV}, {"slices.csv", "lesions.csv", "measures.csv", "notices.csv"}),
        ({F.PDF}, {"report.pdf", "dicom/report.pdf.dcm"}),
        ({F.SR}, {"dicom/lesions.seg.dcm", "dicom/lungs.seg.dcm", "dicom/report.sr.dcm"}),
        ({F.PM, F.HTML}, {"dicom/activation.pm.dcm", "report.html"}),
    ],
    ids=lambda names: "+".join(sorted(names)) or "none",  # sets have no order of their own
)
def test_what_was_asked_for_is_written_and_nothing_else(wanted: set[F], expected: set[str], tmp_path: Path) -> None:
    diagnosis = axial_series(tmp_path / "in").diagnosis
    write_reports(diagnosis, tmp_path / "out", wanted)
    assert names(tmp_path / "out") == expected | {"result.json"}


def test_another_choice_replaces_all_of_an_earlier_one(tmp_path: Path) -> None:
    diagnosis = axial_series(tmp_path / "in").diagnosis
    write_reports(diagnosis, tmp_path / "out", frozenset(F) - {F.PNG})
    write_reports(diagnosis, tmp_path / "out", {F.CSV})
    assert names(tmp_path / "out") == {"result.json", "slices.csv", "lesions.csv", "measures.csv", "notices.csv"}


@pytest.mark.parametrize("wanted", F)
def test_each_format_is_a_row_whose_files_are_known_as_results(wanted: F, tmp_path: Path) -> None:
    """A format is one row of `ReportFormat`; its file names must be in `own_results`, or nobody replaces them."""
    diagnosis = axial_series(tmp_path / "in").diagnosis
    written = write_reports(diagnosis, tmp_path / "out", {wanted})
    assert len(written) > (wanted is not F.JSON)
    for path in written:
        assert is_own(path, frozenset({tmp_path / "out"})), path.name


def test_objects_of_others_are_not_replaced(tmp_path: Path) -> None:
    diagnosis = axial_series(tmp_path / "in").diagnosis
    write_reports(diagnosis, tmp_path / "out")
    (tmp_path / "out" / "dicom" / "ct.dcm").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"ct\.dcm"):
        write_reports(diagnosis, tmp_path / "out")


def test_folder_of_dicom_input_is_not_taken_for_an_earlier_result(tmp_path: Path) -> None:
    diagnosis = axial_series(tmp_path / "dicom").diagnosis
    with pytest.raises(UsageError, match="dicom"):
        write_reports(diagnosis, tmp_path)
    assert len(list((tmp_path / "dicom").iterdir())) == 24


@pytest.mark.parametrize("wanted", [F.SEG, F.SR, F.PM, F.SC])
def test_dicom_objects_of_other_inputs_are_refused(wanted: F, nifti_diagnosis: Diagnosis, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found a NIfTI file, expected a DICOM series"):
        write_reports(nifti_diagnosis, tmp_path / "out", {wanted})
    assert not (tmp_path / "out").exists()


def test_volumes_of_pictures_are_refused(picture_diagnosis: Diagnosis) -> None:
    with pytest.raises(UsageError, match="ask for png"):
        check_formats({F.NIFTI}, picture_diagnosis.study)


def test_printed_report_of_pictures_comes_without_dicom(picture_diagnosis: Diagnosis, tmp_path: Path) -> None:
    write_reports(picture_diagnosis, tmp_path / "out", {F.PDF})
    assert names(tmp_path / "out") == {"result.json", "report.pdf"}
