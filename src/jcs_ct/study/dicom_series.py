"""Which of the frames found make up the series to diagnose, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.study.dicom_frames import Frame
from jcs_ct.study.files import listing

_SAME_POSITION_MM = 0.01
_FEW_AXIAL = 5
"""An axial series shorter than this is a monitoring scan rather than a scan of the chest."""
_CLEAR_MAJORITY = 0.75


@dataclass(frozen=True)
class Selection:
    """The frames to read, ordered, and what was noticed on the way."""

    frames: list[Frame]
    remarks: list[str]
    objections: list[str]


def select_frames(frames: list[Frame]) -> Selection:
    """Choose the series, the orientation and the matrix of which there is most, and order its slices.

    Args:
        frames: At least one frame, of any number of series.

    Returns:
        Frames ordered along the normal of the slices (towards the head if axial), one for each position.
    """
    remarks: list[str] = []
    objections: list[str] = []
    frames = _without_localizers(frames, remarks)
    series = _best_series(frames, remarks)
    series = _main_orientation(series, remarks, objections)
    series = _main_matrix(series, remarks, objections)
    return Selection(_ordered(series, remarks), remarks, objections)


def slice_normal(frame: Frame) -> NDArray[np.float64]:
    """Unit normal of a frame with an orientation: to the head if axial, else as its rows and columns turn."""
    assert frame.orientation is not None
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    return np.asarray(-normal if frame.plane == "axial" and normal[2] < 0 else normal, dtype=np.float64)


def _without_localizers(frames: list[Frame], remarks: list[str]) -> list[Frame]:
    slices = [frame for frame in frames if not frame.localizer]
    if slices and len(slices) < len(frames):
        remarks.append(f"{len(frames) - len(slices)} localizer images are left out")
    return slices or frames


def _best_series(frames: list[Frame], remarks: list[str]) -> list[Frame]:
    by_uid: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_uid[frame.series_uid].append(frame)
    ranked = sorted(by_uid.values(), key=lambda series: (_fitness(series), series[0].series_uid), reverse=True)
    if len(ranked) > 1:
        others = [f"{_title(series)} with {len(series)} images" for series in ranked[1:]]
        remarks.append(
            f"{len(ranked)} series found; read {_title(ranked[0])} with {len(ranked[0])} images, "
            f"left out {listing(others)}"
        )
    patients = {series[0].attributes.get("PatientID", "") for series in ranked}
    if len(patients) > 1:
        remarks.append(f"the images are of {len(patients)} patients: only the series read is judged")
    return ranked[0]


def _fitness(series: list[Frame]) -> tuple[bool, int]:
    axial = {frame.position for frame in series if frame.plane == "axial"}
    return len(axial) >= _FEW_AXIAL, len({frame.position or frame.order for frame in series})


def _title(series: list[Frame]) -> str:
    attributes = series[0].attributes
    title = attributes.get("SeriesDescription") or f"series {attributes.get('SeriesNumber', 'without a number')}"
    return f'"{title}"'


def _main_orientation(series: list[Frame], remarks: list[str], objections: list[str]) -> list[Frame]:
    groups = _group(series, [_rounded(frame.orientation) for frame in series])
    main = groups[0]
    if len(groups) > 1:
        found = ", ".join(f"{len(group)} {group[0].plane or 'unstated'}" for group in groups)
        text = f"{len(groups)} orientations are mixed in one series ({found})"
        # A few reformatted images at the end of an axial series are harmless, a real mixture is not.
        if main[0].plane == "axial" and len(main) > _CLEAR_MAJORITY * len(series):
            remarks.append(f"{text}; the axial ones are read")
        else:
            objections.append(f"{text}, slices of one orientation are needed")
    return main


def _main_matrix(series: list[Frame], remarks: list[str], objections: list[str]) -> list[Frame]:
    groups = _group(series, [(frame.shape, _rounded(frame.spacing)) for frame in series])
    if len(groups) > 1:
        left_out = len(series) - len(groups[0])
        text = f"{left_out} of {len(series)} slices have another matrix or pixel spacing"
        if len(groups[0]) > _CLEAR_MAJORITY * len(series):
            remarks.append(f"{text} and are left out")
        else:
            objections.append(f"{text}, slices of one kind are needed")
    return groups[0]


def _rounded(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    # Adding 0.0 turns -0.0 into 0.0.
    return None if numbers is None else tuple(round(number, 3) + 0.0 for number in numbers)


def _group(frames: list[Frame], keys: Sequence[Hashable]) -> list[list[Frame]]:
    """Frames by key, the largest group first; of equal ones, the one whose first image was taken first."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame, key in zip(frames, keys, strict=True):
        groups[key].append(frame)
    return sorted(groups.values(), key=lambda group: (-len(group), min(frame.order for frame in group)))


def _ordered(frames: list[Frame], remarks: list[str]) -> list[Frame]:
    frames = sorted(frames, key=lambda frame: frame.order)
    if frames[0].orientation is None or any(frame.position is None for frame in frames):
        return _ordered_without_positions(frames, remarks)
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
        remarks.append(f"{len(twins)} slices lie where another one does and are left out: {listing(sorted(twins))}")
    return [frames[index] for index in kept]


def _ordered_without_positions(frames: list[Frame], remarks: list[str]) -> list[Frame]:
    if len(frames) > 1:
        by = "slice location" if all(frame.slice_location is not None for frame in frames) else "instance number"
        remarks.append(f"the slices state no position or orientation: ordered by {by}, feet or head first unknown")
        if by == "slice location":
            return sorted(frames, key=lambda frame: (frame.slice_location or 0.0, frame.order))
    else:
        remarks.append("the slice states no position or orientation: no sizes in mm")
    return frames
