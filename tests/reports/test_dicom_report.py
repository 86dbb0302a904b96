"""All DICOM objects together: valid to dciodvfy, printed by dsrdump, tied to each other and to their source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom.image import imread
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import notice
from jcs_ct.reports.dicom_report import write_dicom
from jcs_ct.reports.formats import ReportFormat
from tests.reports.conftest import said
from tests.reports.dicom_tools import printed_report, validation_errors
from tests.reports.real_studies import SERIES, diagnose_series
from tests.reports.series import axial_series, enhanced_series, sagittal_series

EVERYTHING = frozenset(ReportFormat)


def write_all(diagnosis: Diagnosis, folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    return {path.name: path for path in write_dicom(diagnosis, folder, EVERYTHING)}


@pytest.mark.parametrize("name", SERIES)
def test_objects_of_real_series_are_valid(name: str, shared_data: Path, tmp_path: Path) -> None:
    written = write_all(diagnose_series(shared_data, name, every=4 if name == SERIES[0] else 1), tmp_path)
    kinds = {"lesions.seg.dcm", "lungs.seg.dcm", "report.sr.dcm", "activation.pm.dcm", "report.pdf.dcm"}
    assert kinds < set(written)
    assert sum(name.endswith(".sc.dcm") for name in written) == 6
    assert {name: validation_errors(path) for name, path in written.items()} == {name: [] for name in written}
    printed = printed_report(written["report.sr.dcm"])
    assert '(840539006,SCT,"COVID-19")=(10828004,SCT,"Positive")' in printed
    assert "(121111" not in printed


def axial(folder: Path) -> Diagnosis:
    return axial_series(folder).diagnosis


def enhanced(folder: Path) -> Diagnosis:
    return enhanced_series(folder).diagnosis


def sagittal(folder: Path) -> Diagnosis:
    return sagittal_series(folder).diagnosis


def unplaced(folder: Path) -> Diagnosis:
    def edit(dataset: Dataset, index: int) -> None:
        del dataset.ImagePositionPatient

    diagnosis = axial_series(folder, edit=edit).diagnosis
    assert diagnosis.study.dicom is not None
    assert not diagnosis.study.dicom.placed
    return diagnosis


def not_assessable(folder: Path) -> Diagnosis:
    judged = axial(folder)
    refused = NotAssessable((notice("no-lungs"),)).decision(judged.study.digest, judged.provenance)
    return replace(judged, decision=refused, measured=None)


@pytest.mark.parametrize("make", [axial, enhanced, sagittal, not_assessable])
def test_objects_of_all_kinds_of_series_are_valid(make: object, tmp_path: Path) -> None:
    assert callable(make)
    written = write_all(make(tmp_path / "in"), tmp_path / "out")
    assert {name: validation_errors(path) for name, path in written.items()} == {name: [] for name in written}


def test_slices_without_a_place_have_a_report_without_segments(tmp_path: Path) -> None:
    diagnosis = unplaced(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (path,) = write_dicom(diagnosis, tmp_path / "out", {ReportFormat.SR})
    assert validation_errors(path) == []
    assert "Referenced Segment" not in printed_report(path)


def test_report_says_what_the_diagnosis_says(tmp_path: Path) -> None:
    diagnosis = replace(axial(tmp_path / "in"), notices=(said("something to know"), notice("prone")))
    printed = printed_report(write_all(diagnosis, tmp_path / "out")["report.sr.dcm"])
    assert '(122157,DCM,"Probability")="0.97" (1,UCUM,"no units")' in printed
    assert f'(infected-slices,99JCS,"Number of infected slices")="{diagnosis.rule.infected_slices}.0"' in printed  # type: ignore[union-attr]
    assert "so the threshold is 5 slices." in printed
    assert "something to know" in printed
    assert "the patient lay prone" in printed
    assert "Not a medical device" in printed
    assert f"classifier SHA-256 {'12' * 32}" in printed
    right, left = diagnosis.measures.lungs
    for lung in (right, left):
        assert f'(118565006,SCT,"Volume")="{float(f"{lung.lung_volume_ml:.6g}")}" (mL,UCUM,"mL")' in printed
    for lesion in diagnosis.lesions:
        assert f'="Opacity {lesion.id}"' in printed
        assert f'(112181,DCM,"Mean Attenuation Coefficient")="{float(f"{lesion.mean_hu:.6g}")}"' in printed
        assert f'(118565006,SCT,"Volume")="{float(f"{lesion.volume_ml:.6g}")}"' in printed


def test_report_refers_to_segments_and_source(tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in")
    written = write_all(series.diagnosis, tmp_path / "out")
    report, lesions, lungs = (dcmread(written[f"{name}.dcm"]) for name in ("report.sr", "lesions.seg", "lungs.seg"))
    evidence = {
        one.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for listed in study.ReferencedSeriesSequence
        for one in listed.ReferencedSOPSequence
    }
    assert evidence == {*series.uids, lesions.SOPInstanceUID, lungs.SOPInstanceUID}
    segments = [
        (item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID, item.ReferencedSOPSequence[0].ReferencedSegmentNumber)
        for item in _items(report)
        if item.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeMeaning") == "Referenced Segment"
    ]
    uids = (lungs.SOPInstanceUID, lesions.SOPInstanceUID)
    assert segments == [(uids[0], 1), (uids[0], 2), (uids[1], 1), (uids[1], 2)]
    tracked = {one.TrackingUID for seg in (lesions, lungs) for one in seg.SegmentSequence}
    assert tracked < {item.UID for item in _items(report) if "UID" in item}


def _items(dataset: Dataset) -> list[Dataset]:
    below = [item for one in dataset.get("ContentSequence", []) for item in _items(one)]
    return [dataset, *below]


def test_activation_map_holds_the_activation_on_the_source(tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in", orientation=(-1, 0, 0, 0, -1, 0))
    diagnosis = series.diagnosis
    assert diagnosis.activation is not None
    image = imread(write_all(diagnosis, tmp_path / "out")["activation.pm.dcm"])
    frames = image.get_frames(apply_real_world_transform=True)
    shown = []
    for frame, group in zip(frames, image.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        shown.append(diagnosis.study.sop_uids.index(source))  # type: ignore[union-attr]
        # a prone patient's rows and columns are stored the other way round
        assert np.allclose(frame, np.flip(diagnosis.activation[shown[-1]], (0, 1)) / 255, atol=1e-6)
    assert sorted(shown) == [finding.index for finding in diagnosis.slices if finding.assessed]


def test_secondary_captures_are_the_pictures_and_name_their_slice(tmp_path: Path) -> None:
    series = axial_series(tmp_path / "in")
    written = write_all(series.diagnosis, tmp_path / "out")
    captures = [dcmread(path) for name, path in written.items() if name.endswith(".sc.dcm")]
    assert len({one.SeriesInstanceUID for one in captures}) == 1
    assert [one.InstanceNumber for one in captures] == list(range(1, len(captures) + 1))
    for one in captures:
        assert one.SourceImageSequence[0].ReferencedSOPInstanceUID in series.uids
        pixels = one.pixel_array
        assert pixels.shape[2] == 3
        cyan = (pixels == (0, 229, 255)).all(axis=2)
        assert cyan.any(), "the outline of an opacity"


def test_encapsulated_pdf_is_a_pdf(tmp_path: Path) -> None:
    document = dcmread(write_all(axial(tmp_path / "in"), tmp_path / "out")["report.pdf.dcm"])
    pdf = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")


def test_every_writing_makes_new_objects(tmp_path: Path) -> None:
    diagnosis = axial(tmp_path / "in")
    uids = [dcmread(path).SOPInstanceUID for n in "ab" for path in write_all(diagnosis, tmp_path / n).values()]
    assert len(set(uids)) == len(uids)
