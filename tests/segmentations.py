"""Segmentations as editors leave them: our objects with frames changed, moved, turned or left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from highdicom.uid import UID
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.coding import Code

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.dicom_report import write_dicom
from jcs_ct.reports.formats import ReportFormat

Frames = list[tuple[NDArray[np.uint8], Dataset]]
TISSUE = Code("85756007", "SCT", "Tissue")


def written_segs(diagnosis: Diagnosis, folder: Path) -> tuple[Path, Path]:
    """Our segmentations of the opacities and of the lungs."""
    folder.mkdir(parents=True, exist_ok=True)
    lesions, lungs = write_dicom(diagnosis, folder, {ReportFormat.SEG})
    return lesions, lungs


def edit(path: Path, target: Path, change: Callable[[Frames, Dataset], Frames]) -> Path:
    """Write a binary segmentation anew after `change` was made to its frames and header."""
    dataset = dcmread(path)
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    frames = change(list(zip(pixels.copy(), dataset.PerFrameFunctionalGroupsSequence, strict=True)), dataset)
    dataset.PerFrameFunctionalGroupsSequence = [group for _, group in frames]
    dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames[0][0].shape
    dataset.PixelData = pack_bits(np.stack([frame for frame, _ in frames]))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID()
    dataset.save_as(target, enforce_file_format=True)
    return target


def segment_of(group: Dataset) -> int:
    return int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def drawn(
    sources: Sequence[Path],
    masks: NDArray[Any],
    target: Path,
    kind: str = "BINARY",
    labels: Sequence[tuple[str, Code, Code]] = (("Drawn", TISSUE, TISSUE),),
    **options: Any,
) -> Path:
    """Write what another program draws on a series.

    Args:
        sources: files of the series.
        masks: (Z, rows, columns) in their order, as stored: labels, or floats for FRACTIONAL.
        target: file to write.
        kind: Segmentation Type.
        labels: name, category and type of each segment.
        options: of highdicom's constructor.
    """
    described = [
        SegmentDescription(k, name, CodedConcept.from_code(category), CodedConcept.from_code(what), "MANUAL")
        for k, (name, category, what) in enumerate(labels, start=1)
    ]
    made = Segmentation(
        [dcmread(path) for path in sources], masks, kind, described, str(UID()), 7, str(UID()), 1, "Other", "Editor",
        "1", "42", **options,
    )  # fmt: skip
    made.save_as(target)
    return target
