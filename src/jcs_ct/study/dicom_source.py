"""What DICOM results need of their source: which images the slices are, where they lie as stored, and who it is.

A study's voxels and geometry are canonical. Objects that refer to the source (PS3.3 C.7.6.16.2.6, Derivation Image)
speak of its own images, frames, rows and columns instead, so these are kept beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import dcmread
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from jcs_ct.study.dicom_frames import ATTRIBUTES, Frame
from jcs_ct.study.headers import valid_uid

_BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_LONGEST_TEXT = 10_240
# Large, or about single frames, and of no use to what is derived from the series.
_LEFT_OUT = frozenset(
    {
        "PerFrameFunctionalGroupsSequence",
        "SharedFunctionalGroupsSequence",
        "DimensionIndexSequence",
        "ModalityLUTSequence",
        "VOILUTSequence",
        "IconImageSequence",
        "SourceImageSequence",
        "ReferencedImageSequence",
    }
)


@dataclass(frozen=True)
class DicomSlice:
    """One slice as the image, or the frame of an image, that it came from."""

    sop_class_uid: str
    sop_uid: str
    frame_number: int | None
    """Counted from 1; None for an image of one frame."""
    position: tuple[float, float, float] | None
    """Image Position (Patient): LPS mm of the first stored pixel."""


@dataclass(frozen=True)
class DicomSource:
    """The series that a study was read from, in the order of the study's slices."""

    header: Dataset
    """Header of the first slice's file: no pixels, no private elements, nothing binary; text decoded, so that it can be
    written in any character set."""
    slices: tuple[DicomSlice, ...]
    shape: tuple[int, int]
    """Rows and columns as stored."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient) as stored: direction along a row, then along a column."""
    pixel_spacing: tuple[float, float] | None
    slice_thickness: float | None
    not_carried: tuple[str, ...] = ()
    """Keywords of elements that `header` lacks because their values break the rules of DICOM."""

    @property
    def placed(self) -> bool:
        """Whether every slice has a place in a frame of reference, without which no mask can be laid over it."""
        stated = self.orientation is not None and self.pixel_spacing is not None
        known = all(source.position is not None for source in self.slices)
        return stated and known and bool(self.header.get("FrameOfReferenceUID"))


def describe_source(frames: list[Frame]) -> DicomSource:
    """Gather what results need to know of the frames that were read, at least one, in the order of the study."""
    first = frames[0]
    slices = [
        DicomSlice(
            frame.sop_class,
            frame.sop_uid,
            None if frame.index is None else frame.index + 1,
            None if frame.position is None else (frame.position[0], frame.position[1], frame.position[2]),
        )
        for frame in frames
    ]
    stated = dcmread(first.path, stop_before_pixels=True, force=True)
    header = carried_header(stated)
    lost = tuple(keyword for keyword in ATTRIBUTES if keyword in stated and keyword not in header)
    header.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: the name of every patient, beside our own words
    return DicomSource(header, tuple(slices), first.shape, first.orientation, first.spacing, first.thickness, lost)


def carried_header(dataset: Dataset) -> Dataset:
    """A copy of a header with what is worth carrying into results. What cannot be read or is not valid is left out.

    Results must be valid whatever the source holds: readers refuse or misread objects that are not.
    """
    header = Dataset()
    for tag in dataset.keys():  # noqa: SIM118 - iterating over the data set itself converts, and stops at what is odd
        if tag.is_private or tag.group & 0xFF01 in (0x5000, 0x6000) or tag.group == 0x7FE0:
            continue
        try:
            element = dataset[tag]
            if element.VR in _BINARY or element.keyword in _LEFT_OUT or element.keyword == "":
                continue
            header.add(_decoded(element))
        except Exception:  # pydicom converts values on access, and raises nearly anything
            continue
    return header


def _decoded(element: DataElement) -> DataElement:
    if element.VR not in dictionary_VR(element.tag).split(" or "):
        raise ValueError(f"{element.keyword} is of the type {element.VR}, which is not its own")
    if element.VR == "SQ":
        return DataElement(element.tag, "SQ", [carried_header(item) for item in element.value])
    if element.VR == "PN":
        # A name remembers the bytes that it was read from; as text it is written in the new character set.
        return DataElement(element.tag, "PN", _valid("PN", str(element.value)))
    if len(str(element.value)) > _LONGEST_TEXT:
        raise ValueError(f"{element.keyword} is too long to carry")
    if element.VR == "UI":
        return DataElement(element.tag, "UI", valid_uid(str(element.value)) if element.VM == 1 else list(element.value))
    if element.VR == "CS" and element.VM == 1:
        return DataElement(element.tag, "CS", _valid("CS", str(element.value).strip().upper()))
    values = element.value if element.VM > 1 else [element.value]
    if element.VM > 1 and dictionary_VM(element.tag) == "1":
        raise ValueError(f"{element.keyword} has {element.VM} values, expected one")
    for value in values:
        if isinstance(value, str):
            _valid(element.VR, value)
    return element


def _valid(vr: str, value: str) -> str:
    """The value, if a value representation allows it (PS3.5 6.2).

    Raises:
        ValueError: It does not.
    """
    validate_value(vr, value, RAISE)
    if vr not in ("LT", "ST", "UT") and not value.isprintable():
        raise ValueError(f"{vr} holds control characters")
    return value
