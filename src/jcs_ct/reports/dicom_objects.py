"""What all DICOM objects made from one diagnosis share: patient and study, series, equipment, the images referred to.

highdicom builds the objects from headers of source images. It gets stand-ins here, one a slice, made from what the
study keeps of its source: valid where the source is not, in UTF-8, and single frames even where the source is
multi-frame, whose frames a study may have reordered or left out. `Derivation.finish` puts the real references in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues
from highdicom.uid import UID
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DA, TM, format_number_as_ds

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.dicom_codes import ARTIFICIAL_INTELLIGENCE, MANUAL_PROCESSING, MORPHOLOGICAL_OPERATIONS
from jcs_ct.study.dicom_source import DicomSlice, DicomSource

T = TypeVar("T")
MANUFACTURER = "jcs-ct"
MODEL_NAME = "JCS"
RESEARCH_USE = "For research. Not a medical device. Not for diagnosis or treatment."

SERIES = {
    "lesions": "JCS opacities",
    "lungs": "JCS lungs",
    "report": "JCS report",
    "activation": "JCS activation mapping",
    "key slices": "JCS key slices",
    "document": "JCS report for printing",
}
"""Series Description by what a series holds; the place in this list is its number within the source's hundred."""

_HIGHEST_SERIES_NUMBER = 2**31 // 100 - 1
# Type 2 attributes of the Patient and General Study modules: present, and empty where not known.
_TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_SEXES = ("M", "F", "O")
_DUMMY_DATE, _DUMMY_TIME = "19000101", "000000"


@dataclass(frozen=True)
class Derivation:
    """The common ground of the objects of one writing. UIDs are new with each."""

    diagnosis: Diagnosis
    source: DicomSource
    _uids: dict[str, str] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def uid(self, name: str) -> str:
        """A new UID for `name`, the same whenever asked again."""
        return self._uids.setdefault(name, str(UID()))

    def once(self, name: str, make: Callable[[Derivation], T]) -> T:
        """What `make` makes, made once: objects that others refer to."""
        if name not in self._made:
            self._made[name] = make(self)
        made: T = self._made[name]
        return made

    @cached_property
    def images(self) -> tuple[Dataset, ...]:
        """A stand-in for each slice, in the order of the study."""
        base = self._base()
        return tuple(self._image(base, index) for index in range(len(self.source.slices)))

    def _base(self) -> Dataset:
        """What all stand-ins share: the carried header, made valid."""
        source = self.source
        base = deepcopy(source.header)
        for keyword in _TYPE_2:
            if keyword not in base:
                setattr(base, keyword, "")
        _make_valid(base)
        base.SOPClassUID = CTImageStorage
        base.Rows, base.Columns = source.shape
        if source.orientation is not None:
            base.ImageOrientationPatient = _decimals(source.orientation)
        if source.pixel_spacing is not None:
            base.PixelSpacing = _decimals(source.pixel_spacing)
        if source.slice_thickness is not None:
            base.SliceThickness = _decimals([source.slice_thickness])[0]
        return base

    def _image(self, base: Dataset, index: int) -> Dataset:
        one = self.source.slices[index]
        image = Dataset()
        image.update(base)  # the elements are shared: those that differ are put in anew, not assigned to
        image.add_new("SOPInstanceUID", "UI", one.sop_uid if one.frame_number is None else self.uid(f"frame {index}"))
        image.add_new("InstanceNumber", "IS", index + 1)
        if one.position is not None:
            image.add_new("ImagePositionPatient", "DS", _decimals(one.position))
        return image

    def reference(self, index: int) -> tuple[str, str]:
        """SOP Class and Instance UID by which an object under construction refers to slice `index`."""
        return str(self.images[index].SOPClassUID), str(self.images[index].SOPInstanceUID)

    def instance(self, kind: str, number: int = 1) -> dict[str, Any]:
        """Keywords for highdicom's constructors that say which object this is and what made it."""
        return {
            "series_instance_uid": self.uid(f"{kind} series"),
            "series_number": self._series_number(kind),
            "sop_instance_uid": self.uid(f"{kind} {number}"),
            "instance_number": number,
            "series_description": SERIES[kind],
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": self.diagnosis.provenance.version,
            "device_serial_number": self.weights_digest[:16],
        }

    def _series_number(self, kind: str) -> int:
        stated = self.source.header.get("SeriesNumber")
        number = 0 if stated is None else int(stated)
        within = list(SERIES).index(kind) + 1
        return 100 * (number if 0 < number <= _HIGHEST_SERIES_NUMBER else 90) + within

    @property
    def weights_digest(self) -> str:
        """SHA-256 over the checksums of all networks that ran; of nothing where outlines were measured without any."""
        weights = self.diagnosis.provenance.weights
        sums = [weights[name].get(key, "") for name in sorted(weights) for key in ("sha256", "weights_sha256")]
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    def making(self, kind: str) -> dict[str, Any]:
        """Keywords for highdicom's segment descriptions that say how the segments of "lesions" or "lungs" were made."""
        made = self.diagnosis.provenance
        if kind == "lungs":
            by_user = bool(made.settings.get("given_masks"))
            way = SegmentAlgorithmTypeValues.MANUAL if by_user else SegmentAlgorithmTypeValues.AUTOMATIC
            family = MORPHOLOGICAL_OPERATIONS if made.outlines is not None else ARTIFICIAL_INTELLIGENCE
        elif made.outlines is not None:
            way, family = SegmentAlgorithmTypeValues(made.outlines.algorithm_type), MANUAL_PROCESSING
        else:
            way, family = SegmentAlgorithmTypeValues.AUTOMATIC, ARTIFICIAL_INTELLIGENCE
        # What a user drew has no algorithm (PS3.3 C.8.20.2: required where the type is not MANUAL).
        by_hand = way is SegmentAlgorithmTypeValues.MANUAL
        return {
            "algorithm_type": way,
            "algorithm_identification": None if by_hand else self._algorithm(family),
        }

    def _algorithm(self, family: Code) -> AlgorithmIdentificationSequence:
        """Algorithm Identification macro (PS3.3 10.16): name, version and what the segments rest on."""
        version = self.diagnosis.provenance.version
        return AlgorithmIdentificationSequence(MODEL_NAME, family, version, MANUFACTURER, self.parameters or None)

    @property
    def parameters(self) -> dict[str, str]:
        """What a result rests on: the digest of each network, and of outlines that were given in place of them."""
        made = self.diagnosis.provenance
        networks = (self.diagnosis.decision.provenance or made).weights
        found = {name: entry.get("sha256", "unknown") for name, entry in networks.items()}
        if made.outlines is not None and made.outlines.sha256 is not None:
            found["outlines"] = made.outlines.sha256
        return found

    def stored(self, canonical: NDArray[np.generic]) -> NDArray[np.generic]:
        """(N, H, W) canonical slices to the source's rows and columns, still in the order of the study."""
        return np.ascontiguousarray(self.diagnosis.study.grid.to_stored(canonical))

    @property
    def device_uid(self) -> str:
        """Of the observer: the same wherever the same version runs the same networks."""
        name = f"{MODEL_NAME} {self.diagnosis.provenance.version} {self.weights_digest}"
        return str(UID.from_uuid(str(uuid5(NAMESPACE_OID, name))))

    def finish(self, dataset: Dataset) -> None:
        """Complete an object: series, references to real frames, and no dates if the study is de-identified."""
        if "Rows" in dataset:  # of images only
            dataset.BodyPartExamined = self.source.header.get("BodyPartExamined") or "CHEST"
        frames = {
            self.uid(f"frame {index}"): one
            for index, one in enumerate(self.source.slices)
            if one.frame_number is not None
        }
        if frames:
            _refer_to_frames(dataset, frames)
        if self.source.header.get("LongitudinalTemporalInformationModified") == "REMOVED":
            dataset.LongitudinalTemporalInformationModified = "REMOVED"
            dataset.pop("ContributingEquipmentSequence", None)
            _remove_dates(dataset)


def _decimals(values: Any) -> list[str]:
    """Numbers as DS, which holds 16 characters."""
    return [format_number_as_ds(float(value)) for value in values]


def _make_valid(header: Dataset) -> None:
    """Empty what highdicom refuses, or no reader could use: dates that are none, sexes that the standard lacks."""
    for keyword, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            kind(header[keyword].value)
        except ValueError:
            setattr(header, keyword, "")
    if header.PatientSex not in _SEXES:
        header.PatientSex = ""


def _refer_to_frames(dataset: Dataset, frames: dict[str, DicomSlice]) -> None:
    """Replace references to stand-ins by those to frames of multi-frame images, through all sequences."""
    for element in dataset:
        if element.VR != "SQ":
            continue
        seen: set[tuple[str, int]] = set()
        kept = []
        for item in element.value:
            one = frames.get(str(item.get("ReferencedSOPInstanceUID", "")))
            if one is not None:
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class_uid, one.sop_uid
                # Lists of instances name each once; everything else refers to the very frame.
                listed = element.keyword == "ReferencedInstanceSequence" or _is_evidence(dataset)
                key = (one.sop_uid, 0 if listed else one.frame_number or 0)
                if key in seen:
                    continue
                seen.add(key)
                if not listed:
                    item.ReferencedFrameNumber = one.frame_number
            _refer_to_frames(item, frames)
            kept.append(item)
        element.value = kept


def _is_evidence(dataset: Dataset) -> bool:
    """Whether a data set is an item of Referenced Series Sequence in a list of evidence (PS3.3 Table C.17-3)."""
    return "ReferencedSOPSequence" in dataset and "SeriesInstanceUID" in dataset


def _remove_dates(dataset: Dataset) -> None:
    """PS3.15 Table E.1-1: when a result was made may tell when the patient was there."""
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                _remove_dates(item)
        elif element.VR in ("DA", "TM", "DT"):
            # Content Date and Time must not be empty where they are required; nothing else is.
            element.value = {"ContentDate": _DUMMY_DATE, "ContentTime": _DUMMY_TIME}.get(element.keyword, "")
