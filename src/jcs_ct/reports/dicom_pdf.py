"""DICOM Encapsulated PDF (PS3.3 A.45.1): the report for printing, filed with the patient's images."""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from jcs_ct.reports.dicom_objects import Derivation
from jcs_ct.reports.pdf_report import render_pdf


class EncapsulatedPdf(SOPClass):
    """A PDF document as a DICOM object. highdicom has no class for it."""

    def __init__(self, derivation: Derivation, pdf: bytes, title: str) -> None:
        image = derivation.images[0]
        super().__init__(
            study_instance_uid=image.StudyInstanceUID,
            sop_class_uid=EncapsulatedPDFStorage,
            modality="DOC",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            patient_id=image.PatientID,
            patient_name=image.PatientName,
            patient_birth_date=image.PatientBirthDate,
            patient_sex=image.PatientSex,
            accession_number=image.AccessionNumber,
            study_id=image.StudyID,
            study_date=image.StudyDate,
            study_time=image.StudyTime,
            referring_physician_name=image.ReferringPhysicianName,
            specific_character_set=image.SpecificCharacterSet,
            **derivation.instance("document"),
        )
        self.copy_patient_and_study_information(image)
        self.ConversionType = "WSD"
        self.AcquisitionDateTime = None
        self.BurnedInAnnotation = "YES" if _names_patient(image) else "NO"
        self.DocumentTitle = title
        self.ConceptNameCodeSequence: list[Dataset] = []
        self.MIMETypeOfEncapsulatedDocument = "application/pdf"
        self.EncapsulatedDocumentLength = len(pdf)
        self.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)  # values have even lengths
        self.SourceInstanceSequence = [_reference(derivation, index) for index in range(len(derivation.images))]


def printed_report(derivation: Derivation) -> Iterator[tuple[str, EncapsulatedPdf]]:
    """The PDF report by file name."""
    yield "report.pdf", encapsulated_pdf(derivation)


def encapsulated_pdf(derivation: Derivation) -> EncapsulatedPdf:
    """The PDF report as a DICOM object."""
    document = EncapsulatedPdf(derivation, render_pdf(derivation.diagnosis), "JCS report: COVID-19 on chest CT")
    derivation.finish(document)
    return document


def _names_patient(image: Dataset) -> bool:
    return str(image.get("PatientIdentityRemoved", "")) != "YES"


def _reference(derivation: Derivation, index: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = derivation.reference(index)
    return item
