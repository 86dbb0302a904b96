"""De-identification: DICOM PS3.15 Annex E, Basic Application Confidentiality Profile, for every report.

A diagnosis is de-identified as a whole, before anything is written, so that no report can hold what the diagnosis no
longer does. Where the profile names what to take away (Table E.1-1), this module names what may stay: the rest goes,
private and unknown elements included. UIDs that point to the source are replaced by keyed digests, so that who holds
the key can tie results to their source, and nobody else.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from pydicom.dataset import Dataset

from jcs_ct.diagnosis.decision import Provenance
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
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

_NUMBER = r"-?[\d.]+"
_REMARKS = (
    (r"\d+ DICOM files are not CT images and are left out", ""),
    (r"\d+ files are damaged or not what their names say, and are left out", ""),
    (r"left out: the pixels of", "left out: a slice whose pixels cannot be decoded"),
    (r"left out:", "left out: a damaged file"),
    (r"\d+ localizer images are left out", ""),
    (r"\d+ series found", ""),
    (r"the images are of \d+ patients: only the series read is judged", ""),
    (r"\d+ orientations are mixed in one series", ""),
    (r"\d+ of \d+ slices have another matrix or pixel spacing( and are left out|, slices of one kind are needed)?", ""),
    (r"\d+ slices lie where another one does and are left out", ""),
    (r"the slices? states? no position or orientation(: no sizes in mm|: ordered by (slice location|instance number), "
     r"feet or head first unknown)", ""),
    (r"Rescale Slope or Intercept is missing, as it must not be in CT: stored values are taken as HU", ""),
    (r"Rescale Slope is 0: all values of such slices are the same", ""),
    (r"the images went through lossy compression: fine ground glass may be altered", ""),
    (rf"(a gap|\d+ gaps) between slices that are usually {_NUMBER} mm apart: ({_NUMBER} mm between {_NUMBER} and "
     rf"{_NUMBER} mm|, | and \d+ more)+; not measured", ""),
    (rf"the slices are unevenly spaced, {_NUMBER} to {_NUMBER} mm apart", ""),
    (r"the slices are stacked at a slant of \d+ degrees \(gantry tilt\)", ""),
    (r".* could not be decoded and is left out", "a picture could not be decoded and is left out"),
    (rf"pictures of more than 8 bits: grey levels {_NUMBER} to {_NUMBER} are scaled to 0 to 255", ""),
    (r"the slices have different sizes; padded with 0 to \d+ x \d+ pixels", ""),
    (r".* states no usable sform or qform", "the file states no usable sform or qform: no sizes in mm, axes taken as "
     "RAS+"),
    (r"the pictures do not state their orientation; they were turned by 90° to bring the lungs side by side", ""),
    (r"The NIfTI files hold a single slice of unknown thickness; it is written as 1 mm\.", ""),
    (r"The slices are unevenly spaced", ""),
    (r"segments of the outlines that are neither opacities nor lungs are left out: \d+", ""),
    (r"whether the outlines belong to this study was told by their geometry only: the input states no UIDs", ""),
    (r"\d+ % of the outlined opacities lie outside of the given lung mask; they were measured and count as lung", ""),
    (rf"the classifier looked past the (lungs|outlined opacities): {_NUMBER} % of the activation mapping on the \d+ "
     rf"infected slice\(s\) lies in them, and they take {_NUMBER} % of what it saw; that these slices are infected is "
     r"not explained( by what is outlined)?", ""),
    (r"no opacity was outlined that would explain the \d+ infected slice\(s\)", ""),
)  # fmt: skip
"""What remarks may say: a match stays as it is, or as the words beside it; what goes beyond the match may be a name."""


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
    """The same diagnosis of nobody in particular: no names, dates, places, file names or UIDs of the source."""
    study = _study(diagnosis.study, uids)
    slices = tuple(replace(finding, source=study.sources[finding.index]) for finding in diagnosis.slices)
    return replace(
        diagnosis,
        study=study,
        slices=slices,
        provenance=_provenance(diagnosis.provenance, uids),
        warnings=tuple(dict.fromkeys(safe_remark(warning) for warning in diagnosis.warnings)),
    )


def _provenance(made: Provenance, uids: UidMap) -> Provenance:
    """Without the name of a file of outlines, which a person chose; its UID may lead to the patient, too."""
    if made.outlines is None:
        return made
    uid = made.outlines.sop_uid
    return replace(made, outlines=replace(made.outlines, file=None, sop_uid=None if uid is None else uids.uid(uid)))


def safe_remark(text: str) -> str:
    """A reader's remark without the names of files and series that it may hold."""
    for pattern, words in _REMARKS:
        match = re.match(pattern, text)
        if match is not None:
            return words or match.group()
    return "a remark on the input is left out, as it may name files or persons"


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
        notices=tuple(found.deidentified() for found in study.notices),
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
