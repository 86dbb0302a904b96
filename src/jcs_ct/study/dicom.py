"""DICOM CT: has the series picked, orders its slices by where they lie, and turns stored values into Hounsfield units.

File names and instance numbers say nothing reliable about order. Image Position (Patient), projected onto the normal
of the slices, does (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from jcs_ct.cores import parallel_map
from jcs_ct.errors import InputError, UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import Notice, notice
from jcs_ct.study.codestreams import decode_frame
from jcs_ct.study.dicom_frames import ForeignObject, Frame, read_frames
from jcs_ct.study.dicom_source import describe_source
from jcs_ct.study.dicom_studies import refuse_several
from jcs_ct.study.files import Names, one_line
from jcs_ct.study.limits import refuse_too_large
from jcs_ct.study.quality import plane_refusals, unit_refusals
from jcs_ct.study.series_choice import Choice, choose_series, image_refusals
from jcs_ct.study.volume import (
    AIR_HU,
    Geometry,
    InputKind,
    IntensityKind,
    SourceGrid,
    Study,
    content_digest,
)

_LOOK = 16
"""Slices that a first look sees, evenly over the patient."""
_SHIFTED_MM = 1.0
_HIGHEST_HU = np.iinfo(np.int16).max


def read_dicom(
    files: list[Path], root: Names, series_uid: str | None = None, look: Callable[[Study], None] | None = None
) -> Study:
    """Read the CT series that fits best among `files` (any order, any names).

    Axial slices come in canonical form. Others, which no later layer judges, keep slices along the first axis.

    Args:
        files: At least one DICOM file.
        root: What to call the files.
        series_uid: Series Instance UID of the series to read in place of the one that fits best.
        look: called with a study of a few slices, as soon as these are decoded.

    Returns:
        A study in HU, with its slices ordered from the feet to the head.

    Raises:
        UnreadableFileError: More than half of the files are damaged.
        UnsupportedInputError: None of the files is a CT image, or they ask for too much memory.
        SeveralStudiesError: They are of several studies, and no series is wanted.
        UsageError: There is no such series.
    """
    survey = survey_dicom(files, root, series_uid)
    if series_uid is None:
        refuse_several(survey.choice.studies)
    selection = survey.choice.selection
    slices = _Slices(selection.frames, _grid(selection.frames[0]))
    if look is not None and len(selection.frames) > 2 * _LOOK:
        few = np.linspace(0, len(selection.frames) - 1, _LOOK).round().astype(int).tolist()
        slices.decode(few)
        if seen := [index for index in few if index not in slices.failed]:
            look(_study(slices, seen, selection.refusals))
    slices.decode(range(len(selection.frames)))
    failed = {selection.frames[index].name: reason for index, reason in slices.failed.items()}
    kept = [index for index in range(len(selection.frames)) if index not in slices.failed]
    _refuse_mostly_damaged(len(kept), [*survey.damaged.values(), *failed.values()])
    return _study(slices, kept, survey.notices(failed))


def _study(slices: _Slices, kept: list[int], notices: Iterable[Notice]) -> Study:
    """The study of the slices to keep, which are all decoded."""
    frames, grid = [slices.frames[index] for index in kept], slices.grid
    voxels = slices.voxels if len(kept) == len(slices.voxels) else slices.voxels[kept]
    geometry, first = _geometry(frames, grid), frames[0]
    source = describe_source(frames)
    return Study(
        voxels=voxels,
        intensity=IntensityKind.HU,
        kind=InputKind.DICOM,
        sources=tuple(frame.name for frame in frames),
        digest=content_digest(voxels, IntensityKind.HU, geometry),
        geometry=geometry,
        grid=grid,
        plane=first.plane,
        series_uid=first.series_uid,
        sop_uids=tuple(frame.sop_uid for frame in frames),
        dicom=source,
        attributes=first.attributes,
        notices=tuple(
            dict.fromkeys(
                (
                    *notices,
                    *((notice("values-not-carried", elements=source.not_carried),) if source.not_carried else ()),
                    *_value_notices(frames),
                    *_geometry_notices(geometry),
                    *plane_refusals(first.plane),
                    *image_refusals(first),
                    *unit_refusals(frame.rescale_type for frame in frames),
                )
            )
        ),
    )


@dataclass(frozen=True)
class Survey:
    """What the headers of DICOM files tell."""

    choice: Choice
    damaged: dict[str, str]
    """Reasons by the names of files that cannot be read."""
    foreign: tuple[str, ...]
    """Names of files that hold no CT images."""

    def notices(self, failed: Mapping[str, str] = MappingProxyType({})) -> tuple[Notice, ...]:
        """All that is to be told, including the files whose pixels failed to decode (reasons by name)."""
        found = []
        if self.foreign:
            found.append(notice("not-ct-images", count=len(self.foreign), files=self.foreign))
        if unreadable := {**self.damaged, **failed}:
            reason = next(iter(unreadable.values()))
            found.append(
                notice("dicom-files-unreadable", count=len(unreadable), files=tuple(unreadable), reason=reason)
            )
        return (*found, *self.choice.notices, *self.choice.selection.notices)


def survey_dicom(files: list[Path], root: Names, series_uid: str | None = None) -> Survey:
    """What `read_dicom` would read, told from the headers alone."""
    frames: list[Frame] = []
    damaged: dict[str, InputError] = {}
    foreign: list[ForeignObject] = []
    for path in files:
        name = root.of(path)
        try:
            found = read_frames(path, name)
        except InputError as error:
            damaged[name] = error
            continue
        if isinstance(found, ForeignObject):
            foreign.append(found)
        else:
            frames += found
    if not frames:
        raise _no_frames(list(damaged.values()), [_foreign_error(item) for item in foreign])
    reasons = {name: str(error) for name, error in damaged.items()}
    return Survey(choose_series(frames, foreign, series_uid), reasons, tuple(item.name for item in foreign))


def _foreign_error(item: ForeignObject) -> InputError:
    return UnsupportedInputError(f"{item.name} is a DICOM file of another kind ({item.sop_class}); expected CT images")


def _no_frames(damaged: list[InputError], foreign: list[InputError]) -> InputError:
    reasons = damaged + foreign
    if not reasons:
        return UnsupportedInputError("the DICOMDIR is only a list of files, and there are no images beside it")
    if len(reasons) == 1:
        return reasons[0]
    found = f"none of {len(reasons)} DICOM files is a readable CT image; the first: {reasons[0]}"
    broken = any(isinstance(error, UnreadableFileError) for error in damaged)
    return UnreadableFileError(found) if broken else UnsupportedInputError(found)


def _refuse_mostly_damaged(readable: int, damaged: list[str]) -> None:
    if readable >= max(1, len(damaged)):
        return
    if len(damaged) == 1:
        raise UnreadableFileError(damaged[0])
    total = readable + len(damaged)
    raise UnreadableFileError(f"{len(damaged)} of {total} slices are damaged; the first: {damaged[0]}")


def _grid(frame: Frame) -> SourceGrid:
    """How to turn stored (row, column) to anterior-posterior and right-left; only axial slices are turned."""
    if frame.plane != "axial" or frame.orientation is None:
        return SourceGrid()
    along_row, along_column = frame.orientation[:3], frame.orientation[3:]
    if abs(along_row[0]) >= abs(along_row[1]):
        return SourceGrid((0, 1, 2), (False, along_column[1] < 0, along_row[0] < 0))
    return SourceGrid((0, 2, 1), (False, along_row[1] < 0, along_column[0] < 0))


class _Slices:
    """Slices on their way into one canonical volume.

    Raises:
        UnsupportedInputError: the volume would be too large.
    """

    def __init__(self, frames: list[Frame], grid: SourceGrid) -> None:
        self.frames, self.grid = frames, grid
        rows, columns = frames[0].shape if grid.axes == (0, 1, 2) else frames[0].shape[::-1]
        packed = sum(path.stat().st_size for path in {frame.path for frame in frames})
        refuse_too_large(len(frames) * rows * columns * 2, packed, f"{len(frames)} slices of {rows} x {columns}")
        self.voxels = np.empty((len(frames), rows, columns), dtype=np.int16)
        self.failed: dict[int, str] = {}
        """Reasons by the index of slices that cannot be decoded."""
        self._done: set[int] = set()

    def decode(self, wanted: Sequence[int]) -> None:
        """Decode these slices, as far as they are not yet."""
        by_file: dict[Path, list[int]] = defaultdict(list)
        for index in wanted:
            if index not in self._done:
                by_file[self.frames[index].path].append(index)
        for failures in parallel_map(self._decode_file, list(by_file.values())):
            self.failed |= failures
        self._done.update(wanted)

    def _decode_file(self, indices: list[int]) -> dict[int, str]:
        return _decode_file([self.frames[index] for index in indices], indices, self.voxels, self.grid)


def _decode_file(
    frames: list[Frame], indices: list[int], voxels: NDArray[np.int16], grid: SourceGrid
) -> dict[int, str]:
    """Decode the frames of one file into `voxels[indices]`; the reasons of those that fail."""
    try:
        dataset = dcmread(frames[0].path, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:  # a file without preamble: pydicom found out while reading
            dataset.file_meta.TransferSyntaxUID = _plain_syntax(*dataset.original_encoding)
        if "PixelData" not in dataset:
            raise ValueError("there are none, or they are cut off")
        for keyword, only in (("SamplesPerPixel", 1), ("PhotometricInterpretation", "MONOCHROME2")):
            if not dataset.get(keyword):  # slices of CT have no other
                setattr(dataset, keyword, only)
        for frame, index in zip(frames, indices, strict=True):
            stored = decode_frame(dataset, frame.index, frame.shape)
            voxels[index] = grid.to_canonical(_to_hu(stored, frame)[np.newaxis])[0]
    except Exception as error:  # decoders raise nearly anything on damaged data
        reason = f"the pixels of {frames[0].name} cannot be decoded ({one_line(error)}): copy or export the file again"
        return dict.fromkeys(indices, reason)
    return {}


def _plain_syntax(implicit: bool | None, little_endian: bool | None) -> UID:
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian


def _to_hu(stored: NDArray[np.generic], frame: Frame) -> NDArray[np.int16]:
    """One slice in HU; what was not scanned becomes air."""
    slope = 1.0 if frame.slope is None else frame.slope
    intercept = 0.0 if frame.intercept is None else frame.intercept
    values: NDArray[np.generic]
    if slope == 1 and intercept.is_integer() and abs(intercept) < _HIGHEST_HU:
        values = stored.astype(np.int32) + np.int32(intercept)
    else:
        values = np.rint(stored.astype(np.float64) * slope + intercept)
    if frame.padding is not None:
        low, high = frame.padding
        values[(stored >= low) & (stored <= high)] = AIR_HU  # type: ignore[operator]
    return np.clip(values, AIR_HU, _HIGHEST_HU).astype(np.int16)


def _geometry(frames: list[Frame], grid: SourceGrid) -> Geometry | None:
    """Where the canonical slices lie; None unless every slice says so."""
    first = frames[0]
    if first.orientation is None or first.spacing is None or any(frame.position is None for frame in frames):
        return None
    # Stored rows are told apart along the direction of a column, and the other way round.
    directions = [np.array(first.orientation[3:]), np.array(first.orientation[:3])]
    corner = np.array([frame.position for frame in frames], dtype=np.float64)
    axes = [axis - 1 for axis in grid.axes[1:]]
    for axis, flipped in zip(axes, grid.flips[1:], strict=True):
        if flipped:
            corner += directions[axis] * first.spacing[axis] * (first.shape[axis] - 1)
            directions[axis] = -directions[axis]
    return Geometry(
        positions=corner,
        column_direction=directions[axes[1]],
        row_direction=directions[axes[0]],
        pixel_spacing=(first.spacing[axes[0]], first.spacing[axes[1]]),
        slice_thickness=first.thickness,
    )


def _value_notices(frames: list[Frame]) -> list[Notice]:
    found = []
    if any(frame.slope is None or frame.intercept is None for frame in frames):
        found.append(notice("rescale-missing"))
    if any(frame.slope == 0 for frame in frames):
        found.append(notice("rescale-slope-zero"))
    if frames[0].attributes.get("LossyImageCompression") == "01":
        found.append(notice("lossy-compression"))
    return found


def _geometry_notices(geometry: Geometry | None) -> list[Notice]:
    """Gaps, uneven distances and slices that are stacked at a slant."""
    if geometry is None or len(geometry.positions) < 2:
        return []
    distances, places = geometry.slice_distances, geometry.slice_positions
    usual = float(np.median(distances))
    found = []
    gaps = np.flatnonzero(distances > 1.5 * usual)
    if len(gaps):
        where = tuple(f"{distances[k]:.1f} mm between {places[k]:.1f} and {places[k + 1]:.1f} mm" for k in gaps)
        found.append(notice("gaps", count=len(gaps), usual_mm=usual, where=where))
    even = np.delete(distances, gaps)
    if even.max() - even.min() > max(0.05, 0.02 * usual):
        found.append(notice("uneven-slices", least_mm=float(even.min()), most_mm=float(even.max())))
    # What lies beside the normal through the first slice, and how that grows from slice to slice: (Z, 3) mm.
    beside = geometry.positions - geometry.positions[0]
    beside -= np.outer(beside @ geometry.normal, geometry.normal)
    along = places - places[0]
    lean = along @ beside / (along @ along)
    slant, off = float(np.linalg.norm(lean)), float(np.linalg.norm(beside - np.outer(along, lean), axis=1).max())
    if off > _SHIFTED_MM:
        off = float(np.linalg.norm(np.diff(beside, axis=0), axis=1).max())
        found.append(notice("shifted-slices", off_mm=off))
    elif slant > 0.02:
        found.append(notice("gantry-tilt", degrees=float(np.degrees(np.arctan(slant)))))
    return found
