"""DICOM results are valid whatever the headers of the source hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from jcs_ct.reports.dicom_report import write_dicom
from jcs_ct.reports.formats import ReportFormat
from tests.noticed import values_of
from tests.reports.dicom_tools import validation_errors
from tests.reports.series import axial_series

LONG = "A123456789" * 8


@pytest.mark.parametrize(
    ("stated", "lost", "kept"),
    [
        ({"BodyPartExamined": "胸部"}, ("BodyPartExamined",), {}),
        ({"BodyPartExamined": "Chest/Thorax with contrast"}, ("BodyPartExamined",), {}),
        ({"BodyPartExamined": "Chest"}, (), {}),
        ({"AccessionNumber": LONG}, ("AccessionNumber",), {"AccessionNumber": ""}),
        ({"PatientID": LONG}, ("PatientID",), {"PatientID": "", "PatientName": "Phantom^Chest"}),
        ({"PatientName": LONG, "StudyID": LONG}, ("PatientName", "StudyID"), {"PatientName": ""}),
        ({"StudyDate": "2020.01.31x", "StudyTime": "noon"}, ("StudyDate", "StudyTime"), {"StudyDate": ""}),
        ({"PatientAge": "sixty", "SeriesNumber": "3"}, ("PatientAge",), {}),
        ({"StudyDescription": "a\x1b[31mred"}, ("StudyDescription",), {}),
        ({"StudyInstanceUID": "1.2.abc.3", "FrameOfReferenceUID": "1.2.003"}, (), {}),
    ],
    ids=["script", "long code", "case", "accession", "ID", "name", "dates", "age", "controls", "UIDs"],
)
def test_values_that_break_the_rules_do_not_go_out(
    tmp_path: Path, stated: dict[str, object], lost: tuple[str, ...], kept: dict[str, str]
) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        with disable_value_validation():
            for keyword, value in stated.items():
                if keyword == "BodyPartExamined":  # as text, which no code string can hold
                    dataset.pop(keyword, None)
                    dataset.add_new(keyword, "LO" if not str(value).isascii() else "CS", value)
                else:
                    setattr(dataset, keyword, value)

    with disable_value_validation():
        diagnosis = axial_series(tmp_path / "in", edit=edit).diagnosis
    (tmp_path / "out").mkdir()
    formats = frozenset({ReportFormat.SEG, ReportFormat.SR})
    written = write_dicom(diagnosis, tmp_path / "out", formats)
    assert {path.name: validation_errors(path) for path in written} == {path.name: [] for path in written}
    header = dcmread(next(path for path in written if path.name == "lesions.seg.dcm"))
    assert {keyword: str(header[keyword].value) for keyword in kept} == kept
    if lost:
        assert set(values_of(diagnosis.study.notices, "values-not-carried")["elements"] or ()) == set(lost)  # type: ignore[arg-type]
