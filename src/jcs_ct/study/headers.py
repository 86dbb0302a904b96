"""Facts out of DICOM headers: text and numbers where they are stated, wherever that is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

# The functional group macros that describe a CT slice (PS3.3 C.7.6.16.2, C.8.15.3).
_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "FrameContentSequence",
    "CTReconstructionSequence",
    "CTExposureSequence",
    "CTXRayDetailsSequence",
    "CardiacSynchronizationSequence",
    "RespiratorySynchronizationSequence",
    "TemporalPositionSequence",
    "IrradiationEventIdentificationSequence",
)


def functional_groups(header: Dataset, index: int, macros: Sequence[str] = _MACROS) -> list[Dataset]:
    """Where the facts about frame `index` may be, nearest first: its own groups, the shared ones, the top level."""
    groups = [header.PerFrameFunctionalGroupsSequence[index], *header.get("SharedFunctionalGroupsSequence", [])]
    return [item for group in groups for keyword in macros for item in group.get(keyword, [])] + [header]


def text(dataset: Dataset, keyword: str) -> str:
    """An element as text, several values parted by backslashes; empty where it is missing."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(part) for part in value)
    return str(value).strip()


def first_text(facts: list[Dataset], keyword: str) -> str:
    """The first text that any of `facts` states; empty where none does."""
    return next((found for found in (text(fact, keyword) for fact in facts) if found), "")


def number(facts: list[Dataset], keyword: str) -> float | None:
    """The first number that any of `facts` states.

    Raises:
        ValueError: it is none, or not finite.
    """
    stated = first_text(facts, keyword)
    if not stated:
        return None
    value = float(stated)
    if not np.isfinite(value):
        raise ValueError(f"{keyword} is {stated}")
    return value


def numbers(facts: list[Dataset], keyword: str, count: int) -> tuple[float, ...] | None:
    """The first `count` numbers that any of `facts` states.

    Raises:
        ValueError: they are none, not finite, or not so many.
    """
    stated = first_text(facts, keyword)
    if not stated:
        return None
    values = tuple(float(part) for part in stated.split("\\"))
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{keyword} is {stated!r}, expected {count} numbers")
    return values


@dataclass
class Unneeded:
    """Facts that nobody depends on: one that cannot be read is noted, and passes for one that is not stated."""

    facts: list[Dataset]
    """As for `number`."""
    unreadable: set[str]
    """Keywords of those that cannot be read; grows."""

    def number(self, keyword: str) -> float | None:
        """The first number that is stated, if it is one."""
        try:
            return number(self.facts, keyword)
        except Exception:  # pydicom converts values on access, and raises nearly anything
            self.unreadable.add(keyword)
            return None

    def text(self, keyword: str) -> str:
        """The first text that is stated."""
        try:
            return first_text(self.facts, keyword)
        except Exception:  # as above
            self.unreadable.add(keyword)
            return ""


def valid_uid(stated: str) -> str:
    """A UID as it is, or another one in its place where it breaks the rules for UIDs (PS3.5 9.1).

    Some data sets have letters in their UIDs. Results that refer to these must be valid all the same, so each is
    replaced by one under the root for UUIDs (PS3.5 B.2); the same one always gets the same replacement.
    """
    if not stated or (UID(stated).is_valid and "." in stated):
        return stated
    digest = hashlib.sha256(f"jcs replaced uid {stated}".encode("utf-8", "surrogateescape")).digest()
    return f"2.25.{UUID(bytes=digest[:16], version=5).int}"


def image_uid(header: Dataset, name: str) -> str:
    """SOP Instance UID. Where anonymization has emptied it, one made of what else tells the image from others."""
    stated = text(header, "SOPInstanceUID")
    others = ("SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient")
    return valid_uid(stated or "/".join([*(text(header, keyword) for keyword in others), name]))


def uid_is_replaced(header: Dataset, keyword: str) -> bool:
    """Whether a result states another UID than the header does."""
    stated = text(header, keyword)
    return valid_uid(stated) != stated if stated else keyword == "SOPInstanceUID"


def unit_directions(orientation: tuple[float, ...]) -> tuple[float, ...]:
    """Image Orientation (Patient) with both directions brought to length 1.

    Raises:
        ValueError: they are far from that, or not at a right angle.
    """
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(float(along_row @ along_column)) > 0.01:
        raise ValueError("ImageOrientationPatient does not hold two unit vectors at a right angle")
    return tuple(float(v) for v in (*(along_row / lengths[0]), *(along_column / lengths[1])))
