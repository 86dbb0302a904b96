"""What an image states that may tell it from other scans and reconstructions of the same place."""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable

from jcs_ct.study.headers import Unneeded

_TEXTS: dict[str, tuple[str, ...]] = {
    "IrradiationEventUID": ("IrradiationEventUID",),
    "ContrastBolusAgent": ("ContrastBolusAgent",),
    "ContrastBolusAgentPhase": ("ContrastBolusAgentPhase",),
    "ConvolutionKernel": ("ConvolutionKernel",),
    "StackID": ("StackID",),
    "FilterType": ("FilterType",),
    "ScanOptions": ("ScanOptions",),
    "ProtocolName": ("ProtocolName",),
    "SeriesDescription": ("SeriesDescription",),
    "ImageComments": ("ImageComments",),
    "WindowCenter": ("WindowCenter",),
    "ReconstructionAlgorithm": ("ReconstructionAlgorithm",),
}
_NUMBERS: dict[str, tuple[str, ...]] = {
    "AcquisitionNumber": ("FrameAcquisitionNumber", "AcquisitionNumber"),
    "TemporalPosition": ("TemporalPositionIndex", "TemporalPositionIdentifier", "TemporalPositionTimeOffset"),
    "NominalPercentageOfCardiacPhase": ("NominalPercentageOfCardiacPhase",),
    "NominalPercentageOfRespiratoryPhase": ("NominalPercentageOfRespiratoryPhase",),
    "NominalCardiacTriggerDelayTime": ("NominalCardiacTriggerDelayTime",),
    "SliceThickness": ("SliceThickness",),
    "KVP": ("KVP",),
    "TriggerTime": ("TriggerTime",),
    "XRayTubeCurrent": ("XRayTubeCurrent", "XRayTubeCurrentInmA"),
    "Exposure": ("Exposure", "ExposureInmAs"),
    "ExposureTime": ("ExposureTime", "ExposureTimeInms"),
    "SeriesNumber": ("SeriesNumber",),
    "ReconstructionDiameter": ("ReconstructionDiameter",),
    "GantryDetectorTilt": ("GantryDetectorTilt",),
}
_TIMES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "AcquisitionTime": ("AcquisitionDate", "AcquisitionTime", ("FrameAcquisitionDateTime", "AcquisitionDateTime")),
    "ContentTime": ("ContentDate", "ContentTime", ()),
    "SeriesTime": ("SeriesDate", "SeriesTime", ()),
    "ContrastBolusStartTime": ("", "ContrastBolusStartTime", ()),
    "InstanceCreationTime": ("InstanceCreationDate", "InstanceCreationTime", ()),
}
"""Elements with the date, with the time, and with both."""
_TIME = re.compile(r"(\d\d)(\d\d)?(\d\d(?:\.\d*)?)?")


def phase_facts(unneeded: Unneeded, image_type: str) -> dict[str, Hashable]:
    """What may tell scans and reconstructions apart; single-frame and enhanced objects have some names of their own."""
    found: dict[str, Hashable] = {"ImageType": image_type or None}
    for keyword, names in _TEXTS.items():
        found[keyword] = next((said for name in names if (said := unneeded.text(name))), "").upper() or None
    for keyword, names in _NUMBERS.items():
        found[keyword] = next((value for name in names if (value := unneeded.number(name)) is not None), None)
    for keyword, (date, time, both) in _TIMES.items():
        moment = next((said for name in both if (said := unneeded.text(name))), "")
        found[keyword] = _seconds(moment[:8], moment[8:]) or _seconds(
            unneeded.text(date) if date else "", unneeded.text(time)
        )
    return {keyword: value for keyword, value in found.items() if value is not None}


def _seconds(date: str, time: str) -> float | None:
    """Seconds since some day, for comparing; None where no time of the day is stated."""
    match = _TIME.match(time.replace(":", ""))
    if match is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    digits = re.sub(r"\D", "", date)
    try:
        day = datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).toordinal()
    except ValueError:
        day = 0
    return day * 86400.0 + hours * 3600 + minutes * 60 + seconds
