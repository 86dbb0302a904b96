"""DICOM Segmentations (PS3.3 A.51) read back onto the voxels of a study.

Whoever edits our objects writes new ones, in their own manner: frames in any order, rows and columns reversed or
exchanged, slices without a segment left out, one segment a frame or all in one label map. What lies where is told by
geometry alone, and the pixels must be the study's own: nothing is resampled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, SegmentationStorage

from jcs_ct.errors import JcsError, UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import Notice, notice, printable
from jcs_ct.study.codestreams import decode_frame
from jcs_ct.study.dicom_frames import refuse_bomb
from jcs_ct.study.files import listing, one_line
from jcs_ct.study.headers import functional_groups, number, numbers, text, unit_directions, valid_uid
from jcs_ct.study.limits import MAX_FILE_BYTES, MAX_SIDE
from jcs_ct.study.quiet import quiet_libraries
from jcs_ct.study.segment_codes import SegmentKind, kind_of_segment
from jcs_ct.study.volume import Geometry, InputKind, Study, usual_spacing

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
SEGMENTATION_CLASSES = frozenset({SegmentationStorage, LABEL_MAP_STORAGE})
MAX_SEGMENT_FRAMES = 100_000
"""In one file: fifty opacities on a thousand slices are half of it."""

_MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "SegmentIdentificationSequence",
)
_OFF_GRID = 0.1
"""Pixels, or slice distances, by which places may differ: programs write them with four digits or more."""
_GIVE_OWN = "make it on the slices of this study"


@dataclass(frozen=True)
class Segment:
    """One segment as its description states it."""

    number: int
    label: str
    kind: SegmentKind
    computed: bool
    """Whether an algorithm made it, with or without a user's help (Segment Algorithm Type)."""


@dataclass(frozen=True)
class _Place:
    """Where the pixels of a frame lie in the canonical array."""

    index: int
    transposed: bool
    flips: tuple[int, ...]
    """Canonical axes along which the frame runs the other way."""

    def to_canonical(self, frame: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.flip(frame.T if self.transposed else frame, self.flips)


class StoredSegmentation:
    """A DICOM Segmentation of a study, its header read and checked.

    Args:
        path: the file.
        study: what it should be of.

    Raises:
        UnreadableFileError: the file is missing or damaged.
        UnsupportedInputError: it holds something else, is of another study, or of another grid of pixels.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.name, self._study = printable(path.name), study
        with quiet_libraries():
            self._dataset = _read(path)
        try:
            with quiet_libraries():
                self.notices = _refuse_foreign(self._dataset, study, self.name)
                self.segments = tuple(_segments(self._dataset))
                self.sop_uid = text(self._dataset, "SOPInstanceUID")
                self._places = [self._place(index) for index in range(_frame_count(self._dataset))]
        except JcsError:
            raise
        except Exception as error:  # pydicom converts values on access, and raises nearly anything
            raise UnreadableFileError(
                f"{self.name} has a damaged DICOM header ({one_line(error)}); expected a segmentation: export it again"
            ) from error
        with path.open("rb") as stream:
            self.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()

    def mask(self, wanted: Collection[int]) -> NDArray[np.bool_]:
        """(Z, H, W) canonical: where any of the segments with these numbers is.

        A fractional segment is where it has at least half of its highest value.

        Raises:
            UnreadableFileError: the pixels are damaged or cut off.
        """
        out = np.zeros(self._study.voxels.shape, bool)
        try:
            with quiet_libraries():
                for place, frame in self._frames(frozenset(wanted)):
                    out[place.index] |= place.to_canonical(frame)
        except Exception as error:  # decoders raise nearly anything on damaged data
            raise UnreadableFileError(
                f"the pixels of {self.name} cannot be decoded ({one_line(error)}): export the segmentation again"
            ) from error
        return out

    def _frames(self, wanted: frozenset[int]) -> Iterator[tuple[_Place, NDArray[np.bool_]]]:
        """Place and mask (rows, columns as stored) of the frames that can hold a wanted segment."""
        dataset, shape = self._dataset, (int(self._dataset.Rows), int(self._dataset.Columns))
        if self._places and "PixelData" not in dataset:
            raise ValueError("there are none, or they are cut off")
        kind = text(dataset, "SegmentationType")
        half = _highest_fraction(dataset) / 2 if kind == "FRACTIONAL" else 0.5
        for index, place in enumerate(self._places):
            if kind == "LABELMAP":
                yield place, np.isin(decode_frame(dataset, index, shape), list(wanted))
            elif self._segment_of(index) in wanted:
                yield place, np.asarray(decode_frame(dataset, index, shape) >= half)  # type: ignore[operator]

    def _segment_of(self, index: int) -> int:
        stated = number(functional_groups(self._dataset, index, _MACROS), "ReferencedSegmentNumber")
        if stated is None:
            raise ValueError(f"frame {index + 1} does not say which segment it shows")
        return int(stated)

    def _place(self, index: int) -> _Place:
        facts, dataset = functional_groups(self._dataset, index, _MACROS), self._dataset
        orientation, spacing = numbers(facts, "ImageOrientationPatient", 6), numbers(facts, "PixelSpacing", 2)
        corner = numbers(facts, "ImagePositionPatient", 3)
        if orientation is None or spacing is None or corner is None:
            raise UnsupportedInputError(
                f"frame {index + 1} of {self.name} states no position, orientation or spacing, without which it cannot "
                f"be laid over the study: {_GIVE_OWN}"
            )
        assert self._study.geometry is not None
        frame = _FramePlane(np.array(corner), np.array(unit_directions(orientation)), (spacing[0], spacing[1]))
        problem = frame.off_grid((int(dataset.Rows), int(dataset.Columns)), self._study)
        if isinstance(problem, str):
            raise UnsupportedInputError(f"frame {index + 1} of {self.name} {problem}: {_GIVE_OWN}")
        return problem


@dataclass(frozen=True)
class _FramePlane:
    """Where a frame lies in the patient."""

    corner: NDArray[np.float64]
    """(3,): LPS mm of its first pixel."""
    orientation: NDArray[np.float64]
    """(6,): unit vectors along which the column index grows, then the row index."""
    spacing: tuple[float, float]
    """Between rows, between columns."""

    def off_grid(self, shape: tuple[int, int], study: Study) -> _Place | str:
        """Its place on the study's grid, or in words how it differs from that."""
        geometry = study.geometry
        assert geometry is not None
        down, across = self.orientation[3:] * self.spacing[0], self.orientation[:3] * self.spacing[1]
        transposed = abs(float(across @ geometry.row_direction)) > abs(float(across @ geometry.column_direction))
        height, width = shape[::-1] if transposed else shape
        if (height, width) != study.voxels.shape[1:]:
            return f"has {height} x {width} pixels, expected {study.voxels.shape[1]} x {study.voxels.shape[2]}"
        steps = [across, down] if transposed else [down, across]  # along canonical rows and columns
        corner, flips = self.corner, []
        for axis, (length, towards) in enumerate(
            zip((height, width), (geometry.row_direction, geometry.column_direction), strict=True)
        ):
            if float(steps[axis] @ towards) < 0:
                corner = corner + steps[axis] * (length - 1)
                steps[axis] = -steps[axis]
                flips.append(axis)
        index = int(np.linalg.norm(geometry.positions - corner, axis=1).argmin())
        off = _distance_off(geometry, index, corner, steps, (height, width))
        if off is not None:
            return f"lies {off} the nearest pixels of the study, expected the same places"
        return _Place(index, transposed, tuple(flips))


def _distance_off(
    geometry: Geometry,
    index: int,
    corner: NDArray[np.float64],
    steps: list[NDArray[np.float64]],
    shape: tuple[int, int],
) -> str | None:
    """How far the corners of a frame lie off those of slice `index`, in words; None where they are the same."""
    own = (geometry.row_direction * geometry.pixel_spacing[0], geometry.column_direction * geometry.pixel_spacing[1])
    ends = [(0, 0), (shape[0] - 1, 0), (0, shape[1] - 1), (shape[0] - 1, shape[1] - 1)]
    off = np.array(
        [
            corner - geometry.positions[index] + rows * (steps[0] - own[0]) + columns * (steps[1] - own[1])
            for rows, columns in ends
        ]
    )
    along = np.abs(off @ geometry.normal)
    beside = np.linalg.norm(off - np.outer(off @ geometry.normal, geometry.normal), axis=1)
    if along.max() > _OFF_GRID * (usual_spacing(geometry) or 1.0):
        return f"{along.max():.2g} mm above or below"
    return f"{beside.max():.2g} mm beside" if beside.max() > _OFF_GRID * min(geometry.pixel_spacing) else None


def _read(path: Path) -> Dataset:
    """The whole file, if it is a segmentation."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UnsupportedInputError(
                f"{printable(path.name)} has {size / 1024**3:.1f} GiB; expected at most "
                f"{MAX_FILE_BYTES / 1024**3:g} GiB"
            )
        refuse_bomb(path)
        dataset = dcmread(path)
        sop_class = UID(text(dataset, "SOPClassUID"))
    except JcsError:
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged files
        raise UnreadableFileError(
            f"{printable(path.name)} is a damaged or truncated DICOM file ({one_line(error)}): copy or export it again"
        ) from error
    if sop_class not in SEGMENTATION_CLASSES:
        raise UnsupportedInputError(
            f"{printable(path.name)} is a DICOM object of the class {printable(sop_class.name[:64])}, expected "
            "Segmentation Storage (modality SEG): export the outlines as a segmentation"
        )
    return dataset


def _refuse_foreign(dataset: Dataset, study: Study, name: str) -> tuple[Notice, ...]:
    """Refuse a segmentation of something else; a notice where only geometry tells."""
    if study.geometry is None:
        raise UnsupportedInputError(
            f"{name} is a DICOM segmentation, but the slices of the study state no place that it could lie on; give "
            "the outlines as a NIfTI file"
        )
    own, found = study.attributes.get("FrameOfReferenceUID", ""), valid_uid(text(dataset, "FrameOfReferenceUID"))
    if own and own == found:
        return ()
    images, series = _referenced(dataset)
    if images & set(study.sop_uids or ()) or study.series_uid in series:
        return ()
    if study.kind is InputKind.DICOM:
        raise UnsupportedInputError(
            f"{name} belongs to another study: it has the frame of reference {found or 'none'} and refers to the "
            f"series {listing(sorted(series)) or 'none'}, expected {own or 'none'} and {study.series_uid}; give the "
            "segmentation of this series, or the study that it belongs to"
        )
    return (notice("outlines-without-reference"),)


def _referenced(dataset: Dataset) -> tuple[set[str], set[str]]:
    """SOP Instance UIDs and Series Instance UIDs that a segmentation says it was made from."""
    listed = list(dataset.get("ReferencedSeriesSequence") or [])
    named = [one for item in listed for one in item.get("ReferencedInstanceSequence") or []]
    images = {text(one, "ReferencedSOPInstanceUID") for one in named}
    groups = [*dataset.get("SharedFunctionalGroupsSequence", []), *dataset.get("PerFrameFunctionalGroupsSequence", [])]
    for group in groups:
        for derivation in group.get("DerivationImageSequence") or []:
            images |= {text(one, "ReferencedSOPInstanceUID") for one in derivation.get("SourceImageSequence") or []}
    series = {valid_uid(text(item, "SeriesInstanceUID")) for item in listed} - {""}
    return {valid_uid(uid) for uid in images - {""}}, series


def _segments(dataset: Dataset) -> Iterator[Segment]:
    if not dataset.get("SegmentSequence"):
        raise ValueError("it describes no segments")
    for item in dataset.SegmentSequence:
        stated, computed = int(item.SegmentNumber), text(item, "SegmentAlgorithmType").endswith("AUTOMATIC")
        if stated > 0:  # 0 is the background of a label map
            yield Segment(stated, text(item, "SegmentLabel")[:64], kind_of_segment(item), computed)


def _highest_fraction(dataset: Dataset) -> int:
    """The stored value of a pixel that is all segment."""
    highest = int(dataset.get("MaximumFractionalValue", 0))
    if highest < 1:
        raise ValueError(f"Maximum Fractional Value is {highest}")
    return highest


def _frame_count(dataset: Dataset) -> int:
    """Frames, after checking that the header describes each of them."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if not 1 <= min(rows, columns) <= max(rows, columns) <= MAX_SIDE:
        raise ValueError(f"matrix of {rows} x {columns}, expected at most {MAX_SIDE}")
    if text(dataset, "SegmentationType") not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise ValueError(f"Segmentation Type is {text(dataset, 'SegmentationType') or 'missing'!r}")
    described = len(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    count = int(dataset.get("NumberOfFrames", described))
    if count != described or count > MAX_SEGMENT_FRAMES:
        raise ValueError(f"{count} frames, of which {described} are described; expected at most {MAX_SEGMENT_FRAMES}")
    return count
