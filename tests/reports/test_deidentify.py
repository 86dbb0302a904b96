"""What identifies the patient is planted wherever a source can hold it, and looked for in every byte of all reports."""

from __future__ import annotations

import re
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.notices import notice, texts
from jcs_ct.reports.deidentify import UidMap, deidentified
from jcs_ct.reports.formats import ReportFormat
from jcs_ct.reports.writer import write_reports
from jcs_ct.study import read_study
from tests.reports.conftest import diagnose
from tests.reports.dicom_tools import tool, validation_errors
from tests.reports.series import PHANTOM, Series, axial_series

KEY = b"a key of sixteen bytes or more"
SENTINEL = "Zaphod"
EVERYTHING = frozenset(ReportFormat) - {ReportFormat.PNG}

# Elements of PS3.15 Table E.1-1 that CT images and what is derived from them may hold, by what the basic profile does
# to them; those of dates, times and UIDs are told by their value representation.
IN_TABLE_E1 = (
    "AccessionNumber", "AcquisitionComments", "AcquisitionContextSequence", "AcquisitionDate",
    "AcquisitionDateTime", "AcquisitionProtocolDescription", "AcquisitionTime", "AdditionalPatientHistory",
    "AdmittingDiagnosesDescription", "Allergies", "BranchOfService", "CommentsOnThePerformedProcedureStep",
    "ContentCreatorName", "ContrastBolusAgent", "CurrentPatientLocation", "DerivationDescription",
    "DeviceSerialNumber", "DischargeDiagnosisDescription", "EthnicGroup", "FillerOrderNumberImagingServiceRequest",
    "FrameComments", "ImageComments", "ImagePresentationComments", "Impressions", "InstanceCreationDate",
    "InstitutionAddress", "InstitutionName", "InstitutionalDepartmentName", "InsurancePlanIdentification",
    "IssuerOfPatientID", "MedicalAlerts", "MedicalRecordLocator", "MilitaryRank", "NameOfPhysiciansReadingStudy",
    "Occupation", "OperatorsName", "OtherPatientIDs", "OtherPatientNames", "PatientAddress", "PatientAge",
    "PatientBirthDate", "PatientBirthName", "PatientBirthTime", "PatientComments", "PatientID",
    "PatientMotherBirthName", "PatientName", "PatientReligiousPreference", "PatientSize", "PatientTelephoneNumbers",
    "PatientWeight", "PerformedProcedureStepDescription", "PerformedProcedureStepID", "PerformingPhysicianName",
    "PhysiciansOfRecord", "PreMedication", "PregnancyStatus", "ProtocolName", "ReasonForStudy",
    "ReferringPhysicianAddress", "ReferringPhysicianName", "RegionOfResidence", "RequestedProcedureComments",
    "RequestedProcedureDescription", "RequestedProcedureID", "RequestingPhysician", "ScheduledProcedureStepID",
    "SeriesDate", "SeriesDescription", "SeriesTime", "SmokingStatus", "SpecialNeeds", "StationName",
    "StudyComments", "StudyDate", "StudyDescription", "StudyID", "StudyTime", "TimezoneOffsetFromUTC",
    "VisitComments",
)  # fmt: skip


def plant(dataset: Dataset, index: int) -> None:
    """Put the sentinel into everything that can hold it, or another odd value where only numbers can."""
    odd = {"DA": "19420511", "TM": "040242", "DT": "19420511040242", "AS": "042Y", "DS": "42.4242", "US": 4}
    for keyword in IN_TABLE_E1:
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        kind = dictionary_VR(tag)
        if kind == "SQ":
            continue
        dataset.add_new(tag, kind, odd.get(kind, SENTINEL.upper() if kind == "CS" else SENTINEL))
    dataset.PatientSex = "F"
    dataset.TimezoneOffsetFromUTC = "+0424"
    other = Dataset()
    other.PatientID = SENTINEL
    dataset.OtherPatientIDsSequence = [other]
    dataset.add_new(0x00090010, "LO", SENTINEL)
    dataset.add_new(0x00091001, "LO", SENTINEL)


@pytest.fixture
def planted(tmp_path: Path) -> Series:
    """A series of a named patient, whose files and folder are named after him, with a damaged file beside it."""
    folder = tmp_path / SENTINEL
    series = axial_series(folder, edit=plant, suffix=f"-{SENTINEL}.dcm")
    whole = series.paths[0].read_bytes()
    (folder / f"cut-{SENTINEL}.dcm").write_bytes(whole[: len(whole) // 2])
    study = read_study(folder)
    assert SENTINEL in " ".join(texts(study.notices))
    return replace(series, diagnosis=diagnose(study, PHANTOM.lesion_mask, PHANTOM.lung_mask))


def write(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    return write_reports(deidentified(diagnosis, UidMap(KEY)), folder, EVERYTHING)


def contents(path: Path) -> bytes:
    """All bytes of a file, with those that are compressed in it."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        return zlib.decompress(raw, wbits=31)
    if b"%PDF" in raw:
        text = path.with_suffix(".txt")
        pdf = path.with_suffix(".cut")
        pdf.write_bytes(raw[raw.index(b"%PDF") :])
        subprocess.run([tool("pdftotext", "poppler-utils"), str(pdf), str(text)], check=True, capture_output=True)
        return raw + text.read_bytes()
    return raw


def test_nothing_of_the_patient_is_in_any_report(planted: Series, tmp_path: Path) -> None:
    source = dcmread(planted.paths[0])
    uids = [str(source[keyword].value) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")]
    uids.append(uids[0])
    secrets = [SENTINEL, SENTINEL.upper(), "19420511", "1942-05-11", "040242", "042Y", "42.4242", "+0424", *uids]
    written = write(planted.diagnosis, tmp_path / "out")
    assert len(written) > 12
    for path in written:
        found = contents(path)
        assert [secret for secret in secrets if secret.encode() in found] == [], path.name


def test_without_the_option_the_patient_is_named(planted: Series, tmp_path: Path) -> None:
    # else the test above would hold for the wrong reason
    written = write_reports(planted.diagnosis, tmp_path / "out", EVERYTHING)
    named = [path.name for path in written if SENTINEL.encode() in contents(path)]
    assert set(named) >= {"result.json", "report.html", "report.pdf", "slices.csv", "report.sr.dcm", "lesions.seg.dcm"}


def test_objects_are_valid_and_say_how_they_were_deidentified(planted: Series, tmp_path: Path) -> None:
    objects = [path for path in write(planted.diagnosis, tmp_path / "out") if path.suffix == ".dcm"]
    assert {path.name: validation_errors(path) for path in objects} == {path.name: [] for path in objects}
    for path in objects:
        one = dcmread(path)
        assert one.PatientIdentityRemoved == "YES"
        assert one.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert one.LongitudinalTemporalInformationModified == "REMOVED"
        assert one.PatientID == UidMap(KEY).pseudonym(SENTINEL)
        assert one.PatientSex == one.StudyDate == one.PatientBirthDate == ""
        assert "ContributingEquipmentSequence" not in one


def test_objects_hold_nothing_of_the_table_but_what_they_need(planted: Series, tmp_path: Path) -> None:
    # Empty, pseudonyms, dummies, or descriptions of our own making.
    allowed = {"PatientID", "PatientName", "ContentDate", "ContentTime", "SeriesDescription", "DeviceSerialNumber",
               "ImageComments"}  # fmt: skip
    for path in write(planted.diagnosis, tmp_path / "out"):
        if path.suffix != ".dcm":
            continue
        for element in dcmread(path).iterall():
            keyword = keyword_for_tag(element.tag)
            listed = keyword in IN_TABLE_E1 or element.VR in ("DA", "TM", "DT", "PN")
            assert not listed or keyword in allowed or not element.value, f"{path.name}: {keyword} {element.value}"


def test_references_lead_to_the_source_for_who_has_the_key(planted: Series, tmp_path: Path) -> None:
    written = {path.name: path for path in write(planted.diagnosis, tmp_path / "out")}
    seg, source = dcmread(written["lesions.seg.dcm"]), dcmread(planted.paths[0])
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[keyword].value == UidMap(KEY).uid(source[keyword].value)
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == UidMap(KEY).uid(source.SeriesInstanceUID)
    uids = {UidMap(KEY).uid(uid) for uid in planted.uids}
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} <= uids


def test_keys_tell_maps_apart() -> None:
    assert UidMap(KEY).uid("1.2.3") == UidMap(KEY).uid("1.2.3")
    assert UidMap(KEY).uid("1.2.3") != UidMap(KEY[::-1]).uid("1.2.3")
    assert UidMap().uid("1.2.3") != UidMap().uid("1.2.3")
    assert UidMap(KEY).uid("1.2.3") != UidMap(KEY).uid("1.2.4")
    assert re.fullmatch(r"2\.25\.[1-9]\d{1,38}", UidMap(KEY).uid("1.2.3"))
    assert UidMap(KEY).pseudonym("1") != UidMap(KEY).pseudonym("2")


def test_key_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert UidMap.from_file(tmp_path / "key") == UidMap(KEY)
    (tmp_path / "short").write_bytes(b"secret")
    with pytest.raises(UsageError, match="6 bytes, expected at least 16"):
        UidMap.from_file(tmp_path / "short")
    with pytest.raises(UsageError, match="No such file"):
        UidMap.from_file(tmp_path / "none")


@pytest.mark.parametrize("name", ["picture_diagnosis", "nifti_diagnosis"])
def test_file_names_of_other_inputs_go(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    diagnosis: Diagnosis = request.getfixturevalue(name)
    study = replace(diagnosis.study, sources=(f"{SENTINEL}.nii",) * 40)
    named = replace(diagnosis, study=study, notices=(notice("orientation-not-stated", file=f"{SENTINEL}.nii"),))
    for path in write_reports(deidentified(named, UidMap(KEY)), tmp_path / "out"):
        assert SENTINEL.encode() not in contents(path), path.name
