"""Who and what the images of a series say they are of: all of them must say the same.

A series is of one patient, one study, one frame of reference and one scanner (PS3.3 A.1.2). Images that disagree were
put together by mistake, and nothing tells which of them are meant. An empty element states nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from jcs_ct.notices import Notice, notice
from jcs_ct.study.dicom_frames import Frame

PERSON = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
"""What tells persons apart, also between series."""
_SERIES = (
    *PERSON, "PatientAge", "PatientPosition", "StudyInstanceUID", "StudyID", "AccessionNumber", "StudyDate",
    "InstitutionName", "Manufacturer", "ManufacturerModelName", "StationName", "DeviceSerialNumber",
)  # fmt: skip


def identity_refusals(frames: Sequence[Frame]) -> list[Notice]:
    """The refusal of a series whose images disagree on the person, the study, the scanner or the frame of reference."""
    slices = [frame for frame in frames if not frame.localizer]
    found = {keyword: _contradicting(frames, keyword) for keyword in _SERIES}
    found["FrameOfReferenceUID"] = _contradicting(slices, "FrameOfReferenceUID")  # an overview may have its own
    contradicted = tuple(keyword for keyword, names in found.items() if names)
    if not contradicted:
        return []
    files = tuple(dict.fromkeys(name for keyword in contradicted for name in found[keyword]))
    return [notice("identities-mixed", elements=contradicted, count=len(files), total=len(frames), files=files)]


def same_person(one: Frame, other: Frame) -> bool:
    """Whether two images may be of one person: nothing that both state differs."""
    pairs = ((stated(one, keyword), stated(other, keyword)) for keyword in PERSON)
    return all(first == second for first, second in pairs if first and second)


def stated(frame: Frame, keyword: str) -> str:
    """What an image states, without differences of notation; empty where it states nothing."""
    said = frame.attributes.get(keyword) or frame.origin.get(keyword, "")
    value = unicodedata.normalize("NFKC", said).strip("\0 \t\r\n").casefold()
    if keyword == "PatientName":
        # Ideographic and phonetic forms of the name follow the alphabetic one (PS3.5 6.2.1).
        return " ".join(re.findall(r"\w+", value.partition("=")[0])) or value
    if keyword == "PatientAge":
        return value.lstrip("0")
    if keyword == "PatientSex" and value in ("male", "female", "other"):
        return value[0]
    return re.sub(r"\W", "", value) if keyword.endswith("Date") else value


def _contradicting(frames: Iterable[Frame], keyword: str) -> list[str]:
    """Names of the images that state something else than most."""
    said = [(frame.name, value) for frame in frames if (value := stated(frame, keyword))]
    usual = Counter(value for _, value in said).most_common(1)
    return [name for name, value in said if value != usual[0][0]]
