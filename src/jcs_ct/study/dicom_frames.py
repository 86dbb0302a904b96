"""From DICOM headers to a flat list of frames: one for a CT Image, as many as there are for an enhanced CT.

Where single-frame and enhanced objects keep the same fact in different places (PS3.3 A.3 and A.38), the difference
ends here.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import printable
from jcs_ct.study.dicom_phases import phase_facts
from jcs_ct.study.files import one_line
from jcs_ct.study.headers import (
    Unneeded,
    first_text,
    functional_groups,
    image_uid,
    number,
    numbers,
    text,
    uid_is_replaced,
    unit_directions,
    valid_uid,
)
from jcs_ct.study.limits import MAX_FILE_BYTES, MAX_FRAMES, MAX_RATIO, MAX_SIDE, MAX_TEXT, RATIO_MATTERS_ABOVE

LEGACY_ENHANCED_CT_STORAGE = UID("1.2.840.10008.5.1.4.1.1.2.2")
CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LEGACY_ENHANCED_CT_STORAGE})

ATTRIBUTES = (
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "ConvolutionKernel",
    "BodyPartExamined",
    "PatientPosition",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "StudyInstanceUID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesDescription",
    "SeriesNumber",
    "SeriesDate",
    "SeriesTime",
    "ProtocolName",
    "FrameOfReferenceUID",
    "SliceThickness",
    "SpacingBetweenSlices",
    "KVP",
    "XRayTubeCurrent",
    "ContrastBolusAgent",
    "ImageType",
    "RescaleType",
    "LossyImageCompression",
)
"""DICOM keywords that a study keeps, where the file has them."""
_ORIGIN = ("IssuerOfPatientID", "DeviceSerialNumber", "StationName")

# What makes pixels a slice of a body. A converter that wrote these as UN has not understood the file it converted.
_ESSENTIAL = (
    Tag("ImagePositionPatient"),
    Tag("ImageOrientationPatient"),
    Tag("PixelSpacing"),
    Tag("RescaleSlope"),
)
_REFERENCE_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")
_UIDS = (*_REFERENCE_UIDS, "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class Frame:
    """One slice as its header describes it; the pixels stay on disk."""

    path: Path
    name: str
    index: int | None
    """Number of the frame in its file; None for an object of one frame."""
    shape: tuple[int, int]
    """Rows, columns."""
    position: tuple[float, ...] | None
    """Image Position (Patient): LPS mm."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): direction along a row (column index grows), then along a column."""
    spacing: tuple[float, float] | None
    """Pixel Spacing: between rows, between columns, in mm."""
    thickness: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    padding: tuple[int, int] | None
    """Lowest and highest stored value that mean "no data" (PS3.3 C.7.5.1.1.2)."""
    image_type: tuple[str, ...]
    series_uid: str
    sop_class: str
    sop_uid: str
    instance_number: float | None
    slice_location: float | None
    phase: dict[str, Hashable]
    """What may tell the scans and reconstructions in a series apart, by DICOM keyword, as far as it is stated."""
    attributes: dict[str, str]
    origin: dict[str, str] = field(default_factory=dict)
    """What else is stated of the patient and the scanner, for comparing only: it goes into no result."""
    ignored: tuple[str, ...] = ()
    """Keywords of elements that nobody needs and whose values cannot be read."""
    replaced_uids: tuple[str, ...] = ()
    """Keywords of UIDs that are not valid and were replaced."""

    @property
    def order(self) -> tuple[float, float, float, str]:
        """What was taken first comes first: acquisition number and time, instance number, SOP Instance UID."""
        first, taken = self.phase.get("AcquisitionNumber"), self.phase.get("AcquisitionTime")
        return (
            first if isinstance(first, float) else 0.0,
            taken if isinstance(taken, float) else 0.0,
            self.instance_number or 0.0,
            f"{self.sop_uid} {self.index or 0:06d}",
        )

    @property
    def localizer(self) -> bool:
        """Whether this is an overview image, not a slice (PS3.3 C.8.2.1.1.1)."""
        return "LOCALIZER" in self.image_type or "SCOUT" in self.image_type

    @property
    def plane(self) -> str | None:
        """Plane: "axial", "coronal", "sagittal" or "oblique"; None without an orientation."""
        if self.orientation is None:
            return None
        normal = np.abs(np.cross(self.orientation[:3], self.orientation[3:]))
        # A tilted gantry stays axial: tilts go to 30 degrees, whose cosine is 0.87.
        return ("sagittal", "coronal", "axial")[int(normal.argmax())] if normal.max() >= 0.8 else "oblique"


@dataclass(frozen=True)
class ForeignObject:
    """A DICOM file that holds something else than CT images."""

    name: str
    sop_class: str
    """Name of its SOP class."""
    modality: str
    series_uid: str
    study_uid: str
    patient_id: str
    number: str
    description: str


def read_frames(path: Path, name: str) -> list[Frame] | ForeignObject:
    """The frames of one DICOM file, or what it holds instead; no frames if it is the directory of a disc.

    Raises:
        UnreadableFileError: The file is damaged, or its header contradicts itself.
        UnsupportedInputError: It is too large to be a file of CT images.
    """
    header = _read_header(path, name)
    try:
        sop_class = _sop_class(header)
        if sop_class in CT_CLASSES:
            _refuse_incomplete(header)
            _refuse_untyped(header)
            _refuse_missing_uids(header)
            _refuse_unknown_syntax(header)
            return list(_frames(header, path, name))
        return [] if sop_class == MediaStorageDirectoryStorage else _foreign(header, sop_class, name)
    except UnsupportedInputError as error:
        raise UnsupportedInputError(f"{name} {error}") from error
    except Exception as error:  # pydicom converts values on access, and raises nearly anything
        raise UnreadableFileError(
            f"{name} has a damaged DICOM header ({one_line(error)}); expected a CT image: export it again"
        ) from error


def _foreign(header: Dataset, sop_class: UID, name: str) -> ForeignObject:
    return ForeignObject(
        name=name,
        sop_class=sop_class.name[:64],
        modality=text(header, "Modality"),
        series_uid=valid_uid(text(header, "SeriesInstanceUID")),
        study_uid=valid_uid(text(header, "StudyInstanceUID")),
        patient_id=text(header, "PatientID"),
        number=text(header, "SeriesNumber"),
        description=text(header, "SeriesDescription"),
    )


def _read_header(path: Path, name: str) -> Dataset:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UnsupportedInputError(
            f"{name} has {size / 1024**3:.1f} GiB; expected a DICOM file of at most {MAX_FILE_BYTES / 1024**3:g} GiB"
        )
    try:
        refuse_bomb(path)
        try:
            return dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            return dcmread(path, stop_before_pixels=True, force=True)
    except Exception as error:  # pydicom raises nearly anything on damaged files
        raise UnreadableFileError(
            f"{name} is a damaged or truncated DICOM file ({one_line(error)}): copy or export it again"
        ) from error


def refuse_bomb(path: Path) -> Dataset:
    """Refuse a deflated data set (PS3.5 A.5) that unfolds as no image does: pydicom inflates it as a whole.

    Returns:
        The file meta information; empty where there is none.

    Raises:
        ValueError: It is refused. Damaged file meta information raises nearly anything.
    """
    allowed = max(RATIO_MATTERS_ABOVE, MAX_RATIO * path.stat().st_size)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as stream:
        read_preamble(stream, force=True)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return meta
        pending = stream.read(1024**2)
        while pending and not inflate.eof:
            allowed -= len(inflate.decompress(pending, 1024**2))
            if allowed < 0:
                raise ValueError(f"it is deflated, and unfolds to more than {MAX_RATIO} times its size")
            pending = inflate.unconsumed_tail or stream.read(1024**2)
    return meta


def _sop_class(header: Dataset) -> UID:
    value = text(header, "SOPClassUID") or text(header.file_meta, "MediaStorageSOPClassUID")
    if not UID(value).is_valid:
        raise ValueError(f"SOPClassUID is {value[:64]!r}" if value else "SOPClassUID is missing")
    return UID(value)


def _refuse_incomplete(header: Dataset) -> None:
    missing = [
        keyword for keyword in ("Rows", "Columns", "BitsAllocated", "PixelRepresentation") if keyword not in header
    ]
    if missing:
        raise ValueError(f"{missing[0]} is missing, so it may be cut off")


def _refuse_untyped(header: Dataset) -> None:
    # Elements are raw until they are looked at, so this has to come before any other access to them.
    untyped = [str(tag) for tag in _ESSENTIAL if tag in header and header.get_item(tag).VR == "UN"]
    if untyped:
        raise ValueError(f"{len(untyped)} elements that describe the slice have no type (VR UN), first {untyped[0]}")


def _refuse_unknown_syntax(header: Dataset) -> None:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        return  # a file without file meta information; how it is encoded was found out while reading
    try:
        get_decoder(syntax)
    except NotImplementedError as error:
        called = "a private transfer syntax" if syntax.name == str(syntax) else syntax.name
        raise UnsupportedInputError(
            f"is encoded with {called} ({printable(str(syntax))[:64]}), which is not supported; it is not damaged: "
            "export it uncompressed, or with JPEG, JPEG-LS, JPEG 2000 or RLE"
        ) from error


def _refuse_missing_uids(header: Dataset) -> None:
    # Results refer to the study and series by these; without them they could not be tied to their source.
    missing = [keyword for keyword in _REFERENCE_UIDS if not text(header, keyword)]
    if missing:
        raise ValueError(f"{missing[0]} is missing")


def _frames(header: Dataset, path: Path, name: str) -> Iterator[Frame]:
    shape = (int(header.Rows), int(header.Columns))
    if min(shape) < 1 or max(shape) > MAX_SIDE:
        raise ValueError(f"matrix of {shape[0]} x {shape[1]}, expected at most {MAX_SIDE}")
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise ValueError("colour pixels, expected one sample per pixel")
    # MONOCHROME1 inverts the display only, not the stored values that become HU.
    if not (text(header, "PhotometricInterpretation") or "MONOCHROME2").startswith("MONOCHROME"):
        raise ValueError(f"PhotometricInterpretation is {text(header, 'PhotometricInterpretation')!r}")
    attributes, ignored = _attributes(header)
    count = int(header.get("NumberOfFrames", 1) or 1)
    if not 1 <= count <= MAX_FRAMES:
        raise ValueError(f"{count} frames, expected at most {MAX_FRAMES}")
    enhanced = "PerFrameFunctionalGroupsSequence" in header
    if enhanced and len(header.PerFrameFunctionalGroupsSequence) != count:
        raise ValueError(f"{count} frames, but {len(header.PerFrameFunctionalGroupsSequence)} described")
    for index in range(count):
        facts = functional_groups(header, index) if enhanced else [header]
        number_of_frame = index if count > 1 or enhanced else None
        yield _frame(header, facts, number_of_frame, shape, attributes, ignored, path, name)


def _attributes(header: Dataset) -> tuple[dict[str, str], frozenset[str]]:
    """What a study keeps of a header, and the keywords of what cannot be read."""
    found: dict[str, str] = {}
    ignored = set()
    for keyword in ATTRIBUTES:
        try:
            stated = text(header, keyword)
        except Exception:  # pydicom converts values on access, and raises nearly anything
            ignored.add(keyword)
            continue
        if stated:
            found[keyword] = valid_uid(stated) if keyword in _UIDS else stated[:MAX_TEXT]
    return found, frozenset(ignored)


def _frame(
    header: Dataset,
    facts: list[Dataset],
    index: int | None,
    shape: tuple[int, int],
    attributes: dict[str, str],
    ignored: frozenset[str],
    path: Path,
    name: str,
) -> Frame:
    unneeded = Unneeded(facts, set(ignored))
    if (spacing := numbers(facts, "PixelSpacing", 2)) is not None and min(spacing) <= 0:
        raise ValueError(f"pixel spacing of {spacing[0]:g} x {spacing[1]:g} mm")
    orientation = numbers(facts, "ImageOrientationPatient", 6)
    if orientation is not None:
        orientation = unit_directions(orientation)
    thickness = unneeded.number("SliceThickness")
    image_type = (first_text(facts, "FrameType") or text(header, "ImageType")).upper()
    frame = Frame(
        path=path,
        name=name,
        index=index,
        shape=shape,
        position=numbers(facts, "ImagePositionPatient", 3),
        orientation=orientation,
        spacing=(spacing[0], spacing[1]) if spacing else None,
        thickness=thickness if thickness and thickness > 0 else None,
        slope=number(facts, "RescaleSlope"),
        intercept=number(facts, "RescaleIntercept"),
        rescale_type=first_text(facts, "RescaleType").upper(),
        padding=_padding(header, unneeded),
        image_type=tuple(image_type.split("\\")),
        series_uid=valid_uid(text(header, "SeriesInstanceUID")),
        sop_class=str(_sop_class(header)),
        sop_uid=image_uid(header, name),
        instance_number=unneeded.number("InstanceNumber"),
        slice_location=unneeded.number("SliceLocation"),
        phase=phase_facts(unneeded, image_type),
        attributes=attributes,
        origin={keyword: said[:MAX_TEXT] for keyword in _ORIGIN if (said := unneeded.text(keyword))},
        replaced_uids=tuple(keyword for keyword in _UIDS if uid_is_replaced(header, keyword)),
    )
    return replace(frame, ignored=tuple(sorted(unneeded.unreadable)))


def _padding(header: Dataset, unneeded: Unneeded) -> tuple[int, int] | None:
    values = [unneeded.number(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if values[0] is None:
        return None
    bits = int(header.get("BitsAllocated", 16))
    signed = int(header.get("PixelRepresentation", 0)) == 1
    limits = [_in_type(int(value), bits, signed) for value in values if value is not None]
    return min(limits), max(limits)


def _in_type(value: int, bits: int, signed: bool) -> int:
    """The padding value as the pixels hold it: writers often give it in the other signedness."""
    if signed and value >= 1 << (bits - 1):
        return value - (1 << bits)
    if not signed and value < 0:
        return value + (1 << bits)
    return value
