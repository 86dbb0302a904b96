"""What a segment of a DICOM Segmentation is, told by its codes and, where these say nothing, by its label.

Results are written with the same codes (`reports.dicom_codes`).
"""

from __future__ import annotations

import re
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from jcs_ct.study.headers import text

ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL_OPACITY = Code("112033", "DCM", "Abnormal opacity")
LUNG = Code("39607008", "SCT", "Lung")


class SegmentKind(StrEnum):
    """What a segment means to a measurement."""

    OPACITY = "opacity"
    LUNG = "lung"
    OTHER = "something else"
    UNKNOWN = "unknown"
    """Neither codes nor label tell."""


# Older objects name the same things by SRT codes (PS3.16 Annex L lists the pairs).
_ABNORMAL = {ABNORMAL_STRUCTURE[:2], ("M-01000", "SRT")}
_LUNGS = {
    LUNG[:2], ("T-28000", "SRT"),
    ("3341006", "SCT"), ("T-28100", "SRT"),  # right lung
    ("44029006", "SCT"), ("T-28500", "SRT"),  # left lung
}  # fmt: skip
# 3D Slicer and OHIF write "Tissue" where the user chose nothing.
_SAY_NOTHING = {("85756007", "SCT"), ("T-D0050", "SRT"), ("", "")}

_OPACITY_WORDS = re.compile(r"opacit|lesion|consolid|ground.?glass|\bggo\b|infiltrat|infect|pneumon|covid")
_SIDE = r"(?:left|right|both|whole|l|r)"
_LUNG_LABEL = re.compile(rf"(?:{_SIDE}[ _-]*)*lungs?(?:[ _-]*(?:{_SIDE}|masks?|\d+))*")


def kind_of_segment(segment: Dataset) -> SegmentKind:
    """The kind of an item of Segment Sequence: by property type, then category, then label."""
    kind = _code(segment, "SegmentedPropertyTypeCodeSequence")
    category = _code(segment, "SegmentedPropertyCategoryCodeSequence")
    if kind in _LUNGS:
        return SegmentKind.LUNG
    if kind == ABNORMAL_OPACITY[:2] or category in _ABNORMAL:
        return SegmentKind.OPACITY
    if kind not in _SAY_NOTHING:
        return SegmentKind.OTHER
    return _kind_of_label(text(segment, "SegmentLabel").lower())


def _code(segment: Dataset, keyword: str) -> tuple[str, str]:
    items = segment.get(keyword) or [Dataset()]
    return text(items[0], "CodeValue"), text(items[0], "CodingSchemeDesignator")


def _kind_of_label(label: str) -> SegmentKind:
    if _OPACITY_WORDS.search(label):
        return SegmentKind.OPACITY
    return SegmentKind.LUNG if _LUNG_LABEL.fullmatch(label.strip()) else SegmentKind.UNKNOWN
