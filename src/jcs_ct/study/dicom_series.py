"""Which of the frames of a series make up the stack to diagnose, and in which order.

A series may hold more than one scan of the same place (repeated acquisitions, several reconstructions), copies of
files, overviews and reformatted images. What is read is one stack: one orientation, one matrix, one slice for each
position.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.notices import Notice, Severity, notice
from jcs_ct.study.dicom_frames import Frame
from jcs_ct.study.dicom_identity import identity_refusals
from jcs_ct.study.dicom_stacks import one_stack, same_pixels, usual_values
from jcs_ct.study.quality import FOREIGN_UNITS

_SAME_POSITION_MM = 0.01
_SAME_DIRECTION = 0.01
"""Direction cosines that differ by less (0.6 degrees) are one orientation: scanners round them."""
_MANY_ORIENTATIONS = 64
_CLEAR_MAJORITY = 0.75
_SAME_SPACING = 0.001
"""Share by which pixel spacings may differ that mean the same."""
_MISPLACED_MM = 1.0
_FEW_TWINS = 2
_MANY_TWINS = 0.1
"""Share of the places that hold several slices; with more, these are stacks that nothing tells apart."""
_ESSENTIALS: dict[str, Callable[[Frame], bool]] = {
    "Image Position (Patient)": lambda frame: frame.position is not None,
    "Image Orientation (Patient)": lambda frame: frame.orientation is not None,
    "Pixel Spacing": lambda frame: frame.spacing is not None,
    "Rescale Slope": lambda frame: frame.slope is not None and frame.slope != 0,
    "Rescale Intercept": lambda frame: frame.intercept is not None,
    "Rescale Type HU": lambda frame: frame.rescale_type not in FOREIGN_UNITS,
    "Modality CT": lambda frame: frame.attributes.get("Modality", "CT") == "CT",
}
"""What makes pixels a slice of a CT; without one of these, a slice cannot join the others."""


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
    """Choose the orientation, the matrix and the stack of which there is most, and order its slices.

    Args:
        frames: At least one frame, all of one series.

    Returns:
        Frames ordered along the normal of the slices (towards the head if axial), one for each position.
    """
    notices = identity_refusals(frames)
    series = _without_copies(frames, notices)
    series = _without_localizers(series, notices)
    series = _with_essentials(series, notices)
    series = _main_orientation(series, notices)
    series = _main_matrix(series, notices)
    series = _in_their_place(series, notices)
    if (places := slice_places(series)) is not None:
        series = one_stack(series, places, notices)
    ordered = _ordered(series, notices)
    return Selection(ordered, (*notices, *_oddities(ordered)))


def slice_places(frames: Sequence[Frame]) -> NDArray[np.float64] | None:
    """(N,): mm along the normal of the slices; None where some slice does not state its place."""
    if frames[0].orientation is None or any(frame.position is None for frame in frames):
        return None
    normal = slice_normal(frames[0])
    return np.array([np.dot(frame.position, normal) for frame in frames if frame.position is not None])


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


def _without_copies(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Keep one of the files that hold the same image (SOP Instance UID, PS3.3 C.12.1)."""
    images: dict[Hashable, Frame] = {}
    copies: list[str] = []
    for frame in sorted(frames, key=lambda frame: (frame.name, frame.index or 0)):
        # The UID alone would do, were it not for archives that give one UID to several images.
        image = (frame.order[-1], frame.image_type, frame.position, frame.orientation, frame.shape)
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
    keys = [(frame.shape, spacing) for frame, spacing in zip(series, _spacings(series), strict=True)]
    groups = _group(series, keys)
    if len(groups) > 1:
        harmless = len(groups[0]) > _CLEAR_MAJORITY * len(series)
        code = "matrices-left-out" if harmless else "matrices-mixed"
        notices.append(notice(code, count=len(series) - len(groups[0]), total=len(series)))
    return groups[0]


def _with_essentials(series: list[Frame], notices: list[Notice]) -> list[Frame]:
    """The slices that state what most do; a few that do not are left out rather than spoil the others."""
    for name, states in _ESSENTIALS.items():
        stating = [frame for frame in series if states(frame)]
        lacking = [frame for frame in series if not states(frame)]
        if not stating or not lacking:
            continue
        if len(stating) > _CLEAR_MAJORITY * len(series):
            files = tuple(frame.name for frame in lacking)
            notices.append(notice("incomplete-slices", element=name, count=len(files), total=len(series), files=files))
            series = stating
        elif len(lacking) > _CLEAR_MAJORITY * len(series):
            files = tuple(frame.name for frame in stating)
            notices.append(notice("differing-slices", element=name, count=len(files), total=len(series), files=files))
            series = lacking
        else:
            notices.append(notice("slices-inconsistent", element=name, count=len(lacking), total=len(series)))
    return series


def _in_their_place(series: list[Frame], notices: list[Notice]) -> list[Frame]:
    """Leave out slices whose Slice Location contradicts their position, where the two agree for most."""
    places = slice_places(series)
    located = [index for index, frame in enumerate(series) if frame.slice_location is not None]
    if places is None or len(located) < 3:
        return series
    locations = np.array([frame.slice_location for frame in series if frame.slice_location is not None], np.float64)
    stated = places[located]
    differences = [sign * locations - stated for sign in (1, -1)]
    off = min((np.abs(each - np.median(each)) for each in differences), key=lambda each: float(np.median(each)))
    wrong = {located[index] for index in np.flatnonzero(off > _MISPLACED_MM)}
    if not wrong or len(wrong) > (1 - _CLEAR_MAJORITY) * len(series):
        return series  # many scanners count slice locations in a way of their own
    files = tuple(series[index].name for index in sorted(wrong))
    notices.append(notice("misplaced-slices", count=len(files), files=files))
    return [frame for index, frame in enumerate(series) if index not in wrong]


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


def _spacings(series: list[Frame]) -> list[Hashable]:
    """A key for each frame's pixel spacing; those that differ by rounding only have one."""
    known: list[tuple[float, float]] = []
    keys: list[Hashable] = []
    for frame in series:
        spacing = frame.spacing
        if spacing is None:
            keys.append(None)
            continue
        same = [other for other in known if np.allclose(spacing, other, rtol=_SAME_SPACING, atol=0)]
        if not same and len(known) < _MANY_ORIENTATIONS:
            known.append(spacing)
        keys.append(same[0] if same else spacing)
    return keys


def _group(frames: list[Frame], keys: Sequence[Hashable]) -> list[list[Frame]]:
    """Frames by key, the largest group first; of equal ones, the one whose first image was taken first."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame, key in zip(frames, keys, strict=True):
        groups[key].append(frame)
    return sorted(groups.values(), key=lambda group: (-len(group), min(frame.order for frame in group)))


def _ordered(frames: list[Frame], notices: list[Notice]) -> list[Frame]:
    frames = sorted(frames, key=lambda frame: frame.order)
    places = slice_places(frames)
    if places is None:
        return _ordered_without_positions(frames, notices)
    clusters: list[list[int]] = []
    for index in np.argsort(places, kind="stable"):  # stable, so the twin that comes first in `order` stays first
        if clusters and places[index] - places[clusters[-1][0]] < _SAME_POSITION_MM:
            clusters[-1].append(int(index))
        else:
            clusters.append([int(index)])
    if len(clusters) == len(frames):
        return [frames[index] for (index,) in clusters]
    return _without_twins(frames, clusters, notices)


def _without_twins(frames: list[Frame], clusters: list[list[int]], notices: list[Notice]) -> list[Frame]:
    """One slice for each place: the one that states what most of the stack states, then the first."""
    usual = usual_values(frames)

    def unlike(index: int) -> int:
        return sum(frames[index].phase.get(keyword) != value for keyword, value in usual.items())

    kept = [min(cluster, key=lambda index: (unlike(index), index)) for cluster in clusters]
    pairs = [(index, one) for cluster, one in zip(clusters, kept, strict=True) for index in cluster if index != one]
    twins = [frames[index].name for index, _ in pairs]
    shared = len({one for index, one in pairs if not same_pixels(frames[index], frames[one])})
    if shared > max(_FEW_TWINS, _MANY_TWINS * len(clusters)):
        notices.append(notice("stacks-inseparable", count=shared, total=len(clusters)))
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


def _oddities(frames: list[Frame]) -> list[Notice]:
    """What was read past in the headers of the slices."""
    found = []
    ignored = Counter(keyword for frame in frames for keyword in frame.ignored)
    if ignored:
        found.append(notice("values-ignored", elements=tuple(ignored), count=max(ignored.values()), total=len(frames)))
    if replaced := tuple(dict.fromkeys(keyword for frame in frames for keyword in frame.replaced_uids)):
        found.append(notice("uids-replaced", elements=replaced))
    return found
