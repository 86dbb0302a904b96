"""The forms that results come in, and which of them an input allows."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import TYPE_CHECKING

from jcs_ct.errors import UsageError

if TYPE_CHECKING:
    from jcs_ct.study.volume import Study


class ReportFormat(StrEnum):
    """What `--format` takes."""

    JSON = "json"
    """result.json; always written, as it marks a finished result."""
    HTML = "html"
    NIFTI = "nifti"
    """Masks as volumes; needs positions and spacing, or a NIfTI input."""
    PNG = "png"
    """Masks as pictures, one a slice."""
    CSV = "csv"
    PDF = "pdf"
    """report.pdf, and the same as a DICOM object for a DICOM input."""
    SEG = "seg"
    SR = "sr"
    """Brings the segmentations that it refers to."""
    PM = "pm"
    SC = "sc"


_DICOM = frozenset({ReportFormat.SEG, ReportFormat.SR, ReportFormat.PM, ReportFormat.SC})
_PLACED = frozenset({ReportFormat.SEG, ReportFormat.PM})


def default_formats(study: Study) -> frozenset[ReportFormat]:
    """JSON, HTML and masks; for a DICOM input a structured report, too, and segmentations where slices have a place."""
    wanted = {ReportFormat.JSON, ReportFormat.HTML, ReportFormat.NIFTI if _has_grid(study) else ReportFormat.PNG}
    if study.dicom is not None:
        wanted.add(ReportFormat.SR)
        if study.dicom.placed:
            wanted.add(ReportFormat.SEG)
    return frozenset(wanted)


def check_formats(wanted: Collection[ReportFormat], study: Study) -> frozenset[ReportFormat]:
    """The formats to write, JSON included.

    Raises:
        UsageError: The input does not hold what one of them needs.
    """
    formats = frozenset(wanted) | {ReportFormat.JSON}
    if ReportFormat.NIFTI in formats and not _has_grid(study):
        raise UsageError(
            "--format nifti: the input states no positions and spacing, which a volume needs; ask for png instead"
        )
    dicom = sorted(formats & _DICOM)
    if dicom and study.dicom is None:
        raise UsageError(
            f"--format {dicom[0]}: found {_article(study)}, expected a DICOM series, whose patient, study and images "
            "DICOM results refer to; ask for json, html, csv, pdf, nifti or png instead"
        )
    placed = sorted(formats & _PLACED)
    if placed and study.dicom is not None and not study.dicom.placed:
        raise UsageError(
            f"--format {placed[0]}: the slices state no position, orientation, spacing or frame of reference, without "
            "which nothing can be laid over them; ask for png instead"
        )
    return formats


def _has_grid(study: Study) -> bool:
    # As `nifti_report.has_grid`, which would bring nibabel: the command line imports this module for its help.
    return study.geometry is not None or study.kind.value == "nifti"


def _article(study: Study) -> str:
    return {"nifti": "a NIfTI file", "images": "pictures"}.get(study.kind.value, study.kind.value)
