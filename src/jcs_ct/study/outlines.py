"""Outlines that a user drew or edited: DICOM Segmentation or NIfTI in, masks on the voxels of the study out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError, UsageError
from jcs_ct.notices import Notice, notice, printable
from jcs_ct.study.files import FileKind, kind_of, listing, other_format
from jcs_ct.study.masks import read_labels, read_lung_mask
from jcs_ct.study.segment_codes import SegmentKind
from jcs_ct.study.segmentation import Segment, StoredSegmentation
from jcs_ct.study.volume import Study

_HIGHEST_LABEL = int(np.iinfo(np.uint16).max)
_LOBES = 5
MANUAL, SEMIAUTOMATIC = "MANUAL", "SEMIAUTOMATIC"


@dataclass(frozen=True)
class OutlineSource:
    """Where outlines that no network of this run made came from, so that a result can be traced."""

    file: str | None = None
    """None where they were handed over as an array."""
    sha256: str | None = None
    """Of the file."""
    sop_uid: str | None = None
    """SOP Instance UID, where the file is a DICOM object."""
    segments: tuple[int, ...] = ()
    """The segments, or labels of a NIfTI file, that are opacities; none where all labels are."""
    algorithm_type: str = MANUAL
    """MANUAL, or SEMIAUTOMATIC where they began as what an algorithm found (PS3.3 C.8.20.2, Segment Algorithm Type)."""


@dataclass(frozen=True)
class Outlines:
    """What was drawn, on the voxels of a study."""

    opacities: NDArray[np.bool_]
    """(Z, H, W) canonical."""
    lungs: NDArray[np.bool_] | None
    """(Z, H, W) canonical; None where nothing in the file is a lung."""
    source: OutlineSource
    notices: tuple[Notice, ...] = ()


def read_outlines(path: Path, study: Study, segments: Collection[int] = ()) -> Outlines:
    """Read outlined opacities, and the lungs where the same file holds them.

    Args:
        path: a DICOM Segmentation (BINARY, FRACTIONAL from half of the highest value on, or LABELMAP), or a NIfTI file
            with a mask or labels, on the study's own grid.
        study: as it was read.
        segments: numbers of the segments, or labels, that are opacities. If none are given, codes and labels tell in a
            DICOM file, and all labels count in a NIfTI file.

    Raises:
        UnreadableFileError: the file is missing or damaged.
        UnsupportedInputError: it is something else, of another study, or of another grid.
        UsageError: there are no such segments, or it cannot be told which ones are opacities.
    """
    kind, name = kind_of(path), printable(path.name)
    if kind is FileKind.DICOM:
        return _from_segmentation(StoredSegmentation(path, study), segments)
    if kind is FileKind.NIFTI:
        return _from_nifti(path, study, segments)
    if kind is FileKind.UNKNOWN and (words := other_format(path)):
        raise UnsupportedInputError(f"{name} is {words}, expected a DICOM Segmentation or a NIfTI file")
    if kind is FileKind.UNKNOWN:
        raise UnreadableFileError(f"{name} is neither a DICOM Segmentation nor a NIfTI file, or it is damaged")
    raise UnsupportedInputError(f"{name} is of the kind {kind}, expected a DICOM Segmentation or a NIfTI file")


def read_lungs(path: Path, study: Study) -> NDArray[np.bool_]:
    """Read a lung mask: a NIfTI file, or the lung segments of a DICOM Segmentation.

    Returns:
        (Z, H, W) canonical.

    Raises:
        UnreadableFileError: the file is missing or damaged.
        UnsupportedInputError: it is something else, of another study or grid, or holds no lung.
    """
    if not path.exists() or kind_of(path) is not FileKind.DICOM:
        return read_lung_mask(path, study)
    stored = StoredSegmentation(path, study)
    lungs = _numbers(stored.segments, SegmentKind.LUNG)
    if not lungs:
        raise UnsupportedInputError(f"{stored.name} holds no segment that is a lung; found {_named(stored.segments)}")
    return stored.mask(lungs)


def read_given_masks(
    study: Study, lungs: Path | None, lobes: Path | None
) -> tuple[NDArray[np.bool_] | None, NDArray[np.uint8] | None]:
    """Masks of lungs (`read_lungs`) and lobes (`masks.read_labels`, 1 to 5) that a user gives, (Z, H, W) each."""
    lung_mask = None if lungs is None else read_lungs(lungs, study)
    return lung_mask, None if lobes is None else read_labels(lobes, study, highest=_LOBES).astype(np.uint8)


def _from_segmentation(stored: StoredSegmentation, wanted: Collection[int]) -> Outlines:
    opacities = _chosen(stored, wanted)
    lungs = [number for number in _numbers(stored.segments, SegmentKind.LUNG) if number not in opacities]
    chosen = [segment for segment in stored.segments if segment.number in opacities]
    others = len(stored.segments) - len(chosen) - len(lungs)
    notices = stored.notices
    if others:
        notices = (*notices, notice("segments-left-out", count=others))
    computed = any(segment.computed for segment in chosen)
    source = OutlineSource(
        stored.name, stored.sha256, stored.sop_uid, tuple(opacities), SEMIAUTOMATIC if computed else MANUAL
    )
    return Outlines(stored.mask(opacities), stored.mask(lungs) if lungs else None, source, notices)


def _chosen(stored: StoredSegmentation, wanted: Collection[int]) -> list[int]:
    """Numbers of the segments that are opacities, ascending."""
    if absent := sorted(set(wanted) - {segment.number for segment in stored.segments}):
        raise UsageError(f"{stored.name} has no segment {absent[0]}; found {_named(stored.segments)}")
    if wanted:
        return sorted(set(wanted))
    ask = "say which segments are opacities (--segment)"
    if unknown := [one for one in stored.segments if one.kind is SegmentKind.UNKNOWN]:
        raise UsageError(f"{stored.name}: neither code nor label tells what {_named(unknown)} is; {ask}")
    opacities = _numbers(stored.segments, SegmentKind.OPACITY)
    if not opacities:
        raise UsageError(f"{stored.name} holds no segment that is an opacity; found {_named(stored.segments)}; {ask}")
    return opacities


def _numbers(segments: Collection[Segment], kind: SegmentKind) -> list[int]:
    return sorted(segment.number for segment in segments if segment.kind is kind)


def _named(segments: Collection[Segment]) -> str:
    return listing([f"{segment.number} ({segment.label or 'no label'})" for segment in segments], limit=6)


def _from_nifti(path: Path, study: Study, wanted: Collection[int]) -> Outlines:
    labels = read_labels(path, study, highest=_HIGHEST_LABEL)
    for number in sorted(set(wanted)):
        if not 1 <= number <= _HIGHEST_LABEL:
            raise UsageError(f"{printable(path.name)} cannot have a label {number}, expected 1 to {_HIGHEST_LABEL}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    mask = np.isin(labels, sorted(set(wanted))) if wanted else labels > 0
    return Outlines(mask, None, OutlineSource(printable(path.name), digest, segments=tuple(sorted(set(wanted)))))
