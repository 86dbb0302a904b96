"""Which of the frames of a series make up the stack to diagnose, and in which order.

A series may hold more than one scan of the same place (repeated acquisitions, several reconstructions), copies of
files, overviews and reformatted images. What is read is one stack: one orientation, one matrix, one slice for each
position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.notices import Notice, Severity, notice
from jcs_ct.study.dicom_frames import Frame

_SAME_POSITION_MM = 0.01
_SAME_DIRECTION = 0.01
"""Direction cosines that differ by less (0.6 degrees) are one orientation: scanners round them."""
_MANY_ORIENTATIONS = 64
_CLEAR_MAJORITY = 0.75
_OVERLAP = 0.5
"""Acquisitions that share more than this of the shorter one's range show the same part of the patient again."""


@dataclass(frozen=True)
class Selection:
    """The frames to read, ordered, and what was noticed on the way."""

    frames: list[Frame]
    notices: tuple[Notice, ...]

    @property
    def refusals(self) -> tuple[Notice, ...]:
        """Why the frames must not be assessed."""
        return tuple(found for found in self.notices if found.severity is Severity.REFUSAL)


def select_slices(frames: list[Frame]) -> Selection:
    """Choose the orientation, the matrix and the acquisition of which there is most, and order its slices.

    Args:
        frames: At least one frame, all of one series.

    Returns:
        Frames ordered along the normal of the slices (towards the head if axial), one for each position.
    """
    notices = _identity_refusals(frames)
    series = _without_copies(frames, notices)
    series = _without_localizers(series, notices)
    series = _main_orientation(series, notices)
    series = _main_matrix(series, notices)
    series = _main_acquisition(series, notices)
    return Selection(_ordered(series, notices), tuple(notices))


def slice_normal(frame: Frame) -> NDArray[np.float64]:
    """Unit normal of a frame with an orientation: to the head if axial, else as its rows and columns turn."""
    assert frame.orientation is not None
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return np.asarray(-normal if frame.plane == "axial" and normal[2] < 0 else normal, dtype=np.float64)


def _without_localizers(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    slices = [frame for frame in frames if not frame.localizer]
    if slices and len(slices) < len(frames):
        notices.append(notice("localizers-left-out", count=len(frames) - len(slices)))
    return slices or frames


def _identity_refusals(frames: list[Frame]) -> list[Notice]:
    """One series is of one patient (PS3.3 A.1.2); one that is not was put together by mistake."""
    patients = {frame.attributes.get("PatientID", "") for frame in frames}
    return [] if len(patients) == 1 else [notice("patients-mixed", count=len(patients))]


def _without_copies(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep one of the files that hold the same image (SOP Instance UID, PS3.3 C.12.1)."""
    images: dict[Hashable, Frame] = {}
    copies: list[str] = []
    for frame in sorted(frames, key=lambda frame: (frame.name, frame.index or 0)):
        # The UID alone would do, were it not for archives that give one UID to several images.
        image = (frame.order[2], frame.image_type, frame.position, frame.orientation, frame.shape)
        if images.setdefault(image, frame) is not frame:
            copies.append(frame.name)
    if copies:
        names = tuple(dict.fromkeys(copies))
        notices.append(notice("copies-left-out", count=len(names), files=names))
    return list(images.values())


def _main_orientation(series: list[Frame], notices: list[Notice]) -> list[Frame]:
    groups = _group(series, _orientations(series))
    main = groups[0]
    if len(groups) > 1:
        found = tuple(f"{len(group)} {group[0].plane or 'unstated'}" for group in groups)
        # A few reformatted images at the end of an axial series are harmless, a real mixture is not.
        harmless = main[0].plane == "axial" and len(main) > _CLEAR_MAJORITY * len(series)
        code = "orientations-left-out" if harmless else "orientations-mixed"
        notices.append(notice(code, count=len(groups), found=found))
    return main


def _main_matrix(series: list[Frame], notices: list[Notice]) -> list[Frame]:
    groups = _group(series, [(frame.shape, _rounded(frame.spacing)) for frame in series])
    if len(groups) > 1:
        harmless = len(groups[0]) > _CLEAR_MAJORITY * len(series)
        code = "matrices-left-out" if harmless else "matrices-mixed"
        notices.append(notice(code, count=len(series) - len(groups[0]), total=len(series)))
    return groups[0]


def _main_acquisition(series: list[Frame], notices: list[Notice]) -> list[Frame]:
    """One of the acquisitions or reconstructions that show the same part of the patient; all if they follow on."""
    if series[0].orientation is None or any(frame.position is None for frame in series):
        return series
    normal = slice_normal(series[0])
    groups = _group(
        series,
        [(frame.order[0], frame.attributes.get("ConvolutionKernel"), frame.thickness) for frame in series],
    )
    ranges = []
    for group in groups:
        along = [float(np.dot(frame.position, normal)) for frame in group if frame.position is not None]
        ranges.append((min(along), max(along)))
    # Groups come largest first, so the first one stays, and each further one where it shows something new.
    kept = [0]
    for index in range(1, len(groups)):
        if not any(_overlap(ranges[index], ranges[other]) for other in kept):
            kept.append(index)
    left_out = sum(len(group) for index, group in enumerate(groups) if index not in kept)
    if left_out:
        notices.append(notice("repeated-acquisitions", read=len(series) - left_out, left_out=left_out))
    return [frame for index in kept for frame in groups[index]]


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    shorter = min(one[1] - one[0], other[1] - other[0])
    # A group of one slice has no range: it is a stray slice of the stack that it lies in, or its twin.
    return shorter > 0 and shared > _OVERLAP * shorter


def _orientations(series: list[Frame]) -> list[Hashable]:
    """A key for each frame's orientation; those that differ by rounding only have one, None those that state none."""
    known: list[tuple[float, ...]] = []
    keys: list[Hashable] = []
    for frame in series:
        key = _rounded(frame.orientation)
        if key is not None and key not in known:
            same = [
                other for other in known if max(abs(a - b) for a, b in zip(key, other, strict=True)) < _SAME_DIRECTION
            ]
            if same:
                key = same[0]
            elif len(known) < _MANY_ORIENTATIONS:  # a stack is long found among them; comparing all with all takes long
                known.append(key)
        keys.append(key)
    return keys


def _rounded(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    # Adding 0.0 turns -0.0 into 0.0.
    return None if numbers is None else tuple(round(number, 3) + 0.0 for number in numbers)


def _group(frames: list[Frame], keys: Sequence[Hashable]) -> list[list[Frame]]:
    """Frames by key, the largest group first; of equal ones, the one whose first image was taken first."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame, key in zip(frames, keys, strict=True):
        groups[key].append(frame)
    return sorted(groups.values(), key=lambda group: (-len(group), min(frame.order for frame in group)))


def _ordered(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    frames = sorted(frames, key=lambda frame: frame.order)
    if frames[0].orientation is None or any(frame.position is None for frame in frames):
        return _ordered_without_positions(frames, notices)
    normal = slice_normal(frames[0])
    along = np.array([np.dot(frame.position, normal) for frame in frames if frame.position is not None])
    kept: list[int] = []
    twins: list[str] = []
    for index in np.argsort(along, kind="stable"):  # stable, so the twin that comes first in `order` is kept
        if kept and along[index] - along[kept[-1]] < _SAME_POSITION_MM:
            twins.append(frames[index].name)
        else:
            kept.append(int(index))
    if twins:
        notices.append(notice("places-taken-twice", count=len(twins), files=tuple(sorted(twins))))
    return [frames[index] for index in kept]


def _ordered_without_positions(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    if len(frames) > 1:
        by = "slice location" if all(frame.slice_location is not None for frame in frames) else "instance number"
        notices.append(notice("positions-missing", sorted_by=by))
        if by == "slice location":
            return sorted(frames, key=lambda frame: (frame.slice_location or 0.0, frame.order))
    else:
        notices.append(notice("position-missing"))
    return frames
