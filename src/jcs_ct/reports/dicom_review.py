"""DICOM objects of a result that was signed or corrected: new instances in place of earlier ones.

A structured report is never changed: a new one takes its place and names it (PS3.3 C.17.2, Predecessor Documents
Sequence). One that a person accepts is verified and final. One that is rejected stays unverified and preliminary, and
says in its content that it was rejected.
"""

from __future__ import annotations

from copy import deepcopy

from highdicom.sr import (
    CodeContentItem,
    ContentItem,
    PnameContentItem,
    RelationshipTypeValues,
    TextContentItem,
)
from highdicom.uid import UID
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.valuerep import DA, DT, TM

from jcs_ct.diagnosis.review import Judgement, Review
from jcs_ct.reports import dicom_codes as codes

ORGANISATION = "not stated"
"""That of a reviewer is not known here, and the standard does not let it be empty."""


def signed_report(measured: Dataset, predecessor: Dataset, review: Review) -> Dataset:
    """The structured report of a signed result.

    Args:
        measured: the report of the same result before anybody signed it.
        predecessor: the report that the new one takes the place of: the same, or another sign-off of it.
        review: the sign-off.
    """
    report = _successor(measured, predecessor, review)
    succeed(report, predecessor)
    _qualitative_evaluations(report).ContentSequence.append(_sign_off(review))
    if review.judgement is Judgement.ACCEPTED:
        report.VerificationFlag, report.PreliminaryFlag = "VERIFIED", "FINAL"
        report.VerifyingObserverSequence = [_observer(review)]
    return report


def signed_pdf(measured: Dataset, predecessor: Dataset, review: Review, pdf: bytes) -> Dataset:
    """The printed report of a signed result as a DICOM object; arguments as of `signed_report`."""
    document = _successor(measured, predecessor, review)
    document.EncapsulatedDocumentLength = len(pdf)
    document.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    if review.judgement is Judgement.ACCEPTED:
        document.VerificationFlag = "VERIFIED"
    return document


def succeed(report: Dataset, predecessor: Dataset) -> None:
    """Have a structured report name the one that it takes the place of."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = predecessor.SOPClassUID
    instance.ReferencedSOPInstanceUID = predecessor.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = predecessor.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = predecessor.StudyInstanceUID, [series]
    report.PredecessorDocumentsSequence = [study]


def _successor(measured: Dataset, predecessor: Dataset, review: Review) -> Dataset:
    """A copy that is an instance of its own, the next one in the series."""
    made = deepcopy(measured)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = UID()
    made.InstanceNumber = int(predecessor.InstanceNumber) + 1
    at = review.at.astimezone()  # dates of content are local times
    for prefix in ("Content", "InstanceCreation"):
        if f"{prefix}Date" in made:
            setattr(made, f"{prefix}Date", DA(at.date()))
            setattr(made, f"{prefix}Time", TM(at.time()))
    return made


def _observer(review: Review) -> Dataset:
    """Who verified (PS3.3 Table C.17-2)."""
    item = Dataset()
    item.VerifyingObserverName = review.reviewer
    item.VerifyingObserverIdentificationCodeSequence = []
    item.VerifyingOrganization = ORGANISATION
    item.VerificationDateTime = DT(review.at)
    return item


def _qualitative_evaluations(report: Dataset) -> Dataset:
    """TID 1500 row 12: where the report says something in words."""
    items: list[Dataset] = list(report.ContentSequence)
    wanted = codes.QUALITATIVE_EVALUATIONS.value
    return next(item for item in items if item.ConceptNameCodeSequence[0].CodeValue == wanted)


def _sign_off(review: Review) -> ContentItem:
    """The judgement, with who made it and why."""
    item = CodeContentItem(codes.SIGN_OFF, codes.JUDGEMENTS[review.judgement], RelationshipTypeValues.CONTAINS)
    context, property_of = RelationshipTypeValues.HAS_OBS_CONTEXT, RelationshipTypeValues.HAS_PROPERTIES
    said: list[ContentItem] = [
        CodeContentItem(standard.DCM.ObserverType, standard.DCM.Person, context),
        PnameContentItem(standard.DCM.PersonObserverName, review.reviewer, context),
    ]
    if review.comment:
        said.append(TextContentItem(codes.COMMENT, review.comment, property_of))
    item.add_new("ObservationDateTime", "DT", DT(review.at))
    item.add_new("ContentSequence", "SQ", said)
    return item
