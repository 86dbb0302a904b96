"""Tells apart the stacks of one series that show the same part of the patient, and picks one of them as a whole.

Breath-holds, phases of contrast or heart, energies, kernels and thicknesses may share a series, their slices at the
same places or between each other's. No single element tells them apart everywhere, so each is tried: an element
separates stacks if the slices with one of its values and those with another cover the same range.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from jcs_ct.notices import Notice, notice
from jcs_ct.study.dicom_frames import Frame
from jcs_ct.study.quality import kernel_kind

COVERS = 0.8
"""A stack of at least this share of the longest one's extent covers the patient as well as that one."""
KERNEL_RANK = {"standard": 0, "lung": 1, None: 2, "soft": 3, "bone": 4}
_OVERLAP = 0.5
"""Stacks show the same part of the patient if more than this share of the smaller one's slices lie in the other."""
_SURE_OVERLAP = 0.25
"""The same where an element tells them apart that means another stack by itself."""
_HOLE = 2.5
"""A step of more than so many usual ones is a hole in a stack; one missing slice makes none."""
_FEW = 3
"""Fewer slices have no range worth comparing: they are stray."""
_MOST = 0.75
"""A value that at least this share of the slices states is that of the stack."""
_SAME_NUMBER = 0.02
"""Share by which numbers may differ that mean the same: 8 and 8.0001 mm, 120 and 121 kV."""
_PAUSE_S = 0.5
_PAUSE = 8.0
"""A pause between two scans is longer than these seconds, and than so many usual steps from image to image."""
_COMPLETE = 1.25
"""Slices at most this many thicknesses apart leave nothing out."""
_FILLED = 1.5
"""A stack is at most so many times as long as its slices would be without gaps."""
_REGULAR = 0.25
_CLOSE = 0.75
"""Share of the usual distance; a slice closer to its neighbours was not taken with them."""

Values = Sequence[Hashable]


@dataclass(frozen=True)
class _Element:
    """What may tell stacks apart."""

    name: str
    values: Callable[[Sequence[Frame], NDArray[np.float64]], Values]
    certain: bool
    """Whether a difference alone means another stack. Where it does not, both stacks have to be complete, too: tube
    currents and times of reconstruction vary within a stack."""


def _text(keyword: str, certain: bool = True) -> _Element:
    return _Element(keyword, lambda frames, places: [frame.phase.get(keyword) for frame in frames], certain)


def _number(keyword: str, certain: bool = True) -> _Element:
    return _Element(keyword, lambda frames, places: _merged([frame.phase.get(keyword) for frame in frames]), certain)


def _time(keyword: str, certain: bool) -> _Element:
    return _Element(keyword, lambda frames, places: _scans([frame.phase.get(keyword) for frame in frames]), certain)


def _files(frames: Sequence[Frame], places: NDArray[np.float64]) -> Values:
    return [None if frame.index is None else frame.name for frame in frames]


def _runs(frames: Sequence[Frame], places: NDArray[np.float64]) -> Values:
    """Number of the run that each slice belongs to: instance numbers that start again at the other end begin one."""
    numbers = [frame.instance_number for frame in frames]
    if None in numbers or len(set(numbers)) < len(numbers):
        return [None] * len(frames)
    order = np.argsort(np.array(numbers, np.float64))
    steps = np.diff(places[order])
    onwards = np.sign(np.median(steps)) or 1.0
    back = -onwards * steps > _OVERLAP * np.ptp(places)
    runs = np.empty(len(frames), int)
    runs[order] = np.concatenate([[0], np.cumsum(back)])
    return runs.tolist()


_ELEMENTS = (
    _Element("SOPInstanceUID", _files, certain=True),
    _text("AcquisitionNumber"),
    _text("IrradiationEventUID"),
    _text("TemporalPosition"),
    _number("NominalPercentageOfCardiacPhase"),
    _number("NominalPercentageOfRespiratoryPhase"),
    _number("NominalCardiacTriggerDelayTime"),
    _text("ContrastBolusAgent"),
    _text("ContrastBolusAgentPhase"),
    _text("ConvolutionKernel"),
    _text("ImageType"),
    _text("StackID"),
    _time("AcquisitionTime", certain=True),
    _number("SliceThickness", certain=False),
    _number("KVP"),
    _text("FilterType", certain=False),
    _text("ScanOptions", certain=False),
    _text("ProtocolName", certain=False),
    _number("TriggerTime", certain=False),
    _number("XRayTubeCurrent", certain=False),
    _number("Exposure", certain=False),
    _number("ExposureTime", certain=False),
    _time("ContentTime", certain=False),
    _time("ContrastBolusStartTime", certain=False),
    _time("SeriesTime", certain=False),
    _number("SeriesNumber", certain=False),
    _text("SeriesDescription", certain=False),
    _number("ReconstructionDiameter", certain=False),
    _text("ReconstructionAlgorithm", certain=False),
    _number("GantryDetectorTilt", certain=False),
    _text("ImageComments", certain=False),
    _text("WindowCenter", certain=False),
    _time("InstanceCreationTime", certain=False),
    _Element("InstanceNumber", _runs, certain=False),
)
_MEANING = tuple(element.name for element in _ELEMENTS if element.certain or element.name == "ContentTime")
"""Elements of which another value in one or two slices means another scan."""
_CONTINUING = frozenset(
    {"AcquisitionNumber", "IrradiationEventUID", "AcquisitionTime", "ContentTime", "InstanceNumber", "TriggerTime",
     "XRayTubeCurrent", "Exposure", "ExposureTime", "SliceThickness", "SeriesTime", "InstanceCreationTime"}
)  # fmt: skip
"""Elements that may differ between the parts of one scan that follow each other along the patient."""


def one_stack(series: list[Frame], places: NDArray[np.float64], notices: list[Notice]) -> list[Frame]:
    """The slices of one stack, and of those that continue it along the patient.

    Args:
        series: slices of one orientation and matrix.
        places: (N,) mm along their normal.
        notices: what is left out is added.
    """
    if len(series) < 2:
        return series
    values = {element.name: element.values(series, places) for element in _ELEMENTS}
    telling = [element.name for element in _ELEMENTS if _tells_apart(element, values[element.name], series, places)]
    kept = _best(series, places, [values[name] for name in telling], telling)
    if len(kept) < len(series):
        left_out = len(series) - len(kept)
        notices.append(notice("repeated-acquisitions", read=len(kept), left_out=left_out, told_apart_by=tuple(telling)))
    mine = {element.name: [values[element.name][index] for index in kept] for element in _ELEMENTS}
    odd = set().union(*(_odd(places[kept], its, name in _MEANING) for name, its in mine.items()))
    stray = odd | _stray(places[kept], list(mine.values()), odd)
    if stray:
        names = tuple(sorted(series[kept[index]].name for index in stray))
        notices.append(notice("stray-slices", count=len(names), files=names))
    return [series[index] for number, index in enumerate(kept) if number not in stray]


def stack_rank(frames: Sequence[Frame], extent: float, longest: float) -> tuple[object, ...]:
    """Smaller is better: the documented rules for choosing between stacks, in one series or between series."""
    first = frames[0]
    return (
        extent < COVERS * longest,
        first.image_type[:1] == ("DERIVED",),
        thickness_rank(first.thickness),
        KERNEL_RANK[kernel_kind(first.attributes.get("ConvolutionKernel", ""))],
        -len(frames),
    )


def thickness_rank(thickness: float | None) -> int:
    """0 for the thicknesses that suit the networks best, more for others."""
    if thickness is None or thickness > 5:
        return 3
    return 0 if 0.5 <= thickness <= 3 else 1 if thickness > 3 else 2


def usual_values(frames: Sequence[Frame]) -> dict[str, Hashable]:
    """The value of each telling element that most of the frames state."""
    keywords = sorted({keyword for frame in frames for keyword in frame.phase})
    return {keyword: Counter(frame.phase.get(keyword) for frame in frames).most_common(1)[0][0] for keyword in keywords}


def same_pixels(one: Frame, other: Frame) -> bool:
    """Whether two images are stored with the same pixels: one image that was exported under two UIDs."""
    if one.index is not None or other.index is not None:
        return False
    try:
        first, second = (dcmread(frame.path, force=True).get("PixelData") for frame in (one, other))
    except Exception:  # pydicom raises nearly anything on damaged files; decoding says what is wrong
        return False
    return first is not None and first == second


def _merged(values: Sequence[Hashable]) -> Values:
    """Numbers that mean the same, as one number."""
    known = sorted({value for value in values if isinstance(value, float)})
    same: dict[Hashable, Hashable] = {None: None}
    for before, value in zip([None, *known], known, strict=False):
        close = before is not None and value - before <= _SAME_NUMBER * max(abs(value), abs(before))
        same[value] = same[before] if close else value
    return [same.get(value) for value in values]


def _scans(times: Sequence[Hashable]) -> Values:
    """Number of the scan that each image belongs to: a pause begins another one. Seconds in, None where not stated."""
    known = np.array([index for index, time in enumerate(times) if isinstance(time, float)], int)
    if len(known) < 2:
        return [None] * len(times)
    seconds = np.array([time for time in times if isinstance(time, float)])
    order = np.argsort(seconds, kind="stable")
    steps = np.diff(seconds[order])
    pauses = steps > max(_PAUSE_S, _PAUSE * float(np.median(steps)))
    scans: list[Hashable] = [None] * len(times)
    for index, scan in zip(known[order], np.concatenate([[0], np.cumsum(pauses)]), strict=True):
        scans[index] = int(scan)
    return scans


def _tells_apart(element: _Element, values: Values, series: list[Frame], places: NDArray[np.float64]) -> bool:
    groups = _indices(values)
    stacks = {value: group for value, group in groups.items() if len(group) >= _FEW}
    if len(stacks) < 2 or len(stacks) > len(series) // _FEW:
        return False
    thickness = max((frame.thickness for frame in series if frame.thickness), default=None)
    for number, (value, one) in enumerate(stacks.items()):
        for other_value, other in list(stacks.items())[number + 1 :]:
            shared = _overlap(places[one], places[other])
            sure = element.certain and value is not None and other_value is not None
            if sure and shared > _SURE_OVERLAP:
                return True
            if shared > _OVERLAP and (_complete(places[one], thickness) and _complete(places[other], thickness)):
                return True
    return False


def _indices(values: Values) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        groups[value].append(index)
    return groups


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The share of the smaller stack's slices that lie between neighbouring slices of the other.

    Ranges alone do not tell: in one scan, tube currents are high at both ends and low between.
    """
    smaller, larger = (one, other) if len(one) <= len(other) else (other, one)
    places = np.sort(larger)
    steps = np.diff(places)
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    after = np.clip(np.searchsorted(places, smaller), 1, len(places) - 1)
    inside = (smaller >= places[0]) & (smaller <= places[-1]) & (steps[after - 1] <= _HOLE * usual)
    return float(inside.mean()) if usual > 0 else 0.0


def _complete(places: NDArray[np.float64], thickness: float | None) -> bool:
    """Whether slices are a stack on their own: evenly spaced, with nothing left out between them."""
    steps = np.diff(np.sort(places))
    usual = float(np.median(steps))
    even = np.count_nonzero(np.abs(steps - usual) <= _REGULAR * usual) >= 0.6 * len(steps)
    whole = usual > 0 and np.ptp(places) <= _FILLED * usual * len(steps)
    return bool(whole and even) and (thickness is None or usual <= _COMPLETE * thickness)


def _best(series: list[Frame], places: NDArray[np.float64], telling: list[Values], names: list[str]) -> list[int]:
    """Indices of the best stack and of those that continue it."""
    if not telling:
        return list(range(len(series)))
    by_key: dict[tuple[Hashable, ...], list[int]] = defaultdict(list)
    for index, values in enumerate(zip(*telling, strict=True)):
        by_key[values].append(index)
    longest = max(float(np.ptp(places[group])) for group in by_key.values())

    def rank(key: tuple[Hashable, ...]) -> tuple[object, ...]:
        frames = [series[index] for index in by_key[key]]
        extent = float(np.ptp(places[by_key[key]]))
        return (*stack_rank(frames, extent, longest), min(frame.order for frame in frames))

    best, *others = sorted(by_key, key=rank)
    kept = list(by_key[best])
    totals = [Counter(values) for values in telling]
    for key in others:
        differing = {name for name, mine, its in zip(names, best, key, strict=True) if mine != its}
        of_another = any(mine != its and total[its] >= _FEW for mine, its, total in zip(best, key, totals, strict=True))
        if len(by_key[key]) < _FEW and of_another:
            continue  # a slice or two of another whole stack, whose other statements are contradictory
        if differing <= _CONTINUING:
            beyond = _beyond(places[by_key[key]], places[kept])
            kept += [index for index, further in zip(by_key[key], beyond, strict=True) if further]
    return sorted(kept)


def _beyond(places: NDArray[np.float64], kept: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which slices continue the kept ones: so far from each of these as they are from each other.

    None do, unless most lie outside of the range of the kept ones. Two scans may overlap where one ends and the other
    begins: there, slices of the kept one are read.
    """
    none = np.zeros(len(places), np.bool_)
    if len(kept) < 2:
        return none
    usual = float(np.median(np.diff(np.sort(kept))))
    far: NDArray[np.bool_] = np.abs(places[:, None] - kept[None, :]).min(axis=1) >= _CLOSE * usual
    below, above = places < kept.min(), places > kept.max()
    outside = below | above
    if far.all() and (len(places) < _FEW or outside.mean() > _OVERLAP):
        return far
    one_sided = bool(below.any() != above.any())
    return far & outside if one_sided and len(places) >= _FEW and outside.mean() > _OVERLAP else none


def _odd(places: NDArray[np.float64], values: Values, meaning: bool) -> set[int]:
    """The few slices that state another value than the stack does, and for which there is no room beside it.

    Where the value means another scan, they are left out also where they would fill a hole: a slice that one phase
    lacks is not taken from another.
    """
    stated = Counter(value for value in values if value is not None)
    usual_value, count = stated.most_common(1)[0] if stated else (None, 0)
    if count < max(_FEW, _MOST * stated.total()):
        return set()
    stack = places[[value == usual_value for value in values]]
    distance = float(np.median(np.diff(np.sort(stack))))
    odd = set()
    for index, (place, value) in enumerate(zip(places, values, strict=True)):
        if value is None or value == usual_value or stated[value] >= _FEW:
            continue
        within = meaning and stack.min() < place < stack.max()
        if within or np.abs(stack - place).min() < _CLOSE * distance:
            odd.add(index)
    return odd


def _stray(places: NDArray[np.float64], elements: Sequence[Values], gone: set[int]) -> set[int]:
    """Slices that differ from two neighbours which are alike, and for which there is no room beside these."""
    order = np.array([index for index in np.argsort(places, kind="stable") if index not in gone], int)
    if len(order) < _FEW:
        return set()
    usual = float(np.median(np.diff(places[order])))

    def differs(index: int, one: int, other: int) -> bool:
        return any(values[one] == values[other] not in (None, values[index]) for values in elements)

    between = zip(order, order[1:], order[2:], strict=False)
    stray = {
        int(index)
        for before, index, after in between
        if places[after] - places[before] <= _COMPLETE * usual and differs(index, before, after)
    }
    for end, first, second in (order[:3], order[:-4:-1]):
        if abs(places[end] - places[first]) < _CLOSE * usual and differs(end, first, second):
            stray.add(int(end))
    return stray
