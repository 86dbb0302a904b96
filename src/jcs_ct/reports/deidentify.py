"""De-identification: DICOM PS3.15 Annex E, Basic Application Confidentiality Profile, for every report.

A diagnosis is de-identified as a whole, before anything is written, so no report can leak what the diagnosis no longer
holds. The profile names what to remove (Table E.1-1); this module names what may stay, and removes the rest, private
and unknown elements included. Notices lose their private values and keep their message. UIDs of the source are replaced
by keyed digests: only the holder of the key can link results to their source.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from pydicom.dataset import Dataset

from jcs_ct.diagnosis.decision import Provenance
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.notices import Notice
from jcs_ct.study.dicom_source import DicomSource
from jcs_ct.study.volume import InputKind, Study

METHOD = "JCS: PS3.15 Annex E Basic Profile"
# CID 7050. Our own structured content and descriptions are kept: they are made of nothing that identifies.
_METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113104", "Clean Structured Content Option"),
    ("113105", "Clean Descriptors Option"),
)
_MINIMUM_KEY_BYTES = 16

_KEPT_HEADER = (
    "SpecificCharacterSet", "SOPClassUID", "Modality", "Manufacturer", "ManufacturerModelName", "BodyPartExamined",
    "PatientPosition", "PositionReferenceIndicator", "ConvolutionKernel", "SliceThickness", "KVP", "ImageType",
    "SeriesNumber", "Rows", "Columns", "ImageOrientationPatient", "PixelSpacing", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
"""Elements of the source's header that Table E.1-1 lets stay and that results carry."""
_KEPT_ATTRIBUTES = frozenset({*_KEPT_HEADER, "SpacingBetweenSlices", "XRayTubeCurrent", "RescaleType"})
_MAPPED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class UidMap:
    """Replacements for what points to the source; the same key gives the same ones."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Without a given one, a key that nobody knows: results of one run then belong together, and to nothing else."""

    def __post_init__(self) -> None:
        if len(self.key) < _MINIMUM_KEY_BYTES:
            raise UsageError(f"the key for UIDs has {len(self.key)} bytes, expected at least {_MINIMUM_KEY_BYTES}")

    @classmethod
    def from_file(cls, path: Path) -> UidMap:
        """Read the key from a file; white space around it does not count.

        Raises:
            UsageError: The file cannot be read, or the key is too short.
        """
        try:
            return cls(path.read_bytes().strip())
        except OSError as error:
            raise UsageError(f"cannot read the key for UIDs from {path}: {error.strerror}") from error

    def uid(self, original: str) -> str:
        """The UID in place of `original`, under the root for UUIDs (PS3.5 B.2)."""
        return f"2.25.{UUID(bytes=self._digest('uid', original)[:16], version=5).int}"

    def pseudonym(self, patient_id: str) -> str:
        """The Patient ID in place of `patient_id`."""
        return "JCS-" + base64.b32encode(self._digest("patient", patient_id)[:10]).decode("ascii")

    def _digest(self, what: str, original: str) -> bytes:
        return hmac.digest(self.key, f"{what}\0{original}".encode(), "sha256")


def deidentified(diagnosis: Diagnosis, uids: UidMap) -> Diagnosis:
    """The same diagnosis without names, dates, places, file names and UIDs of the source."""
    decision = diagnosis.decision
    made = decision.provenance
    return replace(
        diagnosis,
        study=_study(diagnosis.study, uids),
        decision=replace(
            decision,
            reasons=_without_private(decision.reasons),
            provenance=None if made is None else _provenance(made, uids),
        ),
        notices=_without_private(diagnosis.notices),
        provenance=_provenance(diagnosis.provenance, uids),
    )


def _without_private(notices: tuple[Notice, ...]) -> tuple[Notice, ...]:
    return tuple(each.deidentified() for each in notices)


def _provenance(made: Provenance, uids: UidMap) -> Provenance:
    """Without the name of the file of outlines, which a person chose. Its UID may lead to the patient, too."""
    if made.outlines is None:
        return made
    uid = made.outlines.sop_uid
    return replace(made, outlines=replace(made.outlines, file=None, sop_uid=None if uid is None else uids.uid(uid)))


def _study(study: Study, uids: UidMap) -> Study:
    suffix = {InputKind.DICOM: "dcm", InputKind.NIFTI: "nii", InputKind.IMAGES: "png"}[study.kind]
    names = tuple(f"slice-{index + 1:04d}.{suffix}" for index in range(len(study)))
    return replace(
        study,
        sources=names,
        series_uid=None if study.series_uid is None else uids.uid(study.series_uid),
        sop_uids=None if study.sop_uids is None else tuple(map(uids.uid, study.sop_uids)),
        dicom=None if study.dicom is None else _source(study.dicom, uids),
        attributes=_attributes(study.attributes, uids),
        notices=_without_private(study.notices),
    )


def _attributes(attributes: dict[str, str], uids: UidMap) -> dict[str, str]:
    kept = {key: value for key, value in attributes.items() if key in _KEPT_ATTRIBUTES}
    kept |= {key: uids.uid(value) for key, value in attributes.items() if key in _MAPPED_UIDS}
    if "PatientID" in attributes or "PatientName" in attributes:
        kept["PatientID"] = kept["PatientName"] = uids.pseudonym(attributes.get("PatientID", ""))
    return {**kept, "PatientIdentityRemoved": "YES", "DeidentificationMethod": METHOD}


def _source(source: DicomSource, uids: UidMap) -> DicomSource:
    slices = tuple(replace(one, sop_uid=uids.uid(one.sop_uid)) for one in source.slices)
    return replace(source, header=_header(source.header, uids), slices=slices)


def _header(header: Dataset, uids: UidMap) -> Dataset:
    made = Dataset()
    for keyword in _KEPT_HEADER:
        if keyword in header:
            made.add(header[keyword])
    for keyword in _MAPPED_UIDS:
        if header.get(keyword):
            setattr(made, keyword, uids.uid(str(header[keyword].value)))
    made.PatientID = made.PatientName = uids.pseudonym(str(header.get("PatientID", "")))
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = METHOD
    made.DeidentificationMethodCodeSequence = [_code(*code) for code in _METHOD_CODES]
    made.LongitudinalTemporalInformationModified = "REMOVED"
    return made


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
