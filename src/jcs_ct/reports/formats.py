"""The report formats, each a row of `ReportFormat`, and which of them an input allows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum, StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jcs_ct.errors import UsageError

if TYPE_CHECKING:
    from jcs_ct.study.volume import Study


class Need(Enum):
    """What a format needs of the input."""

    NOTHING = "nothing"
    GRID = "positions and spacing, or a NIfTI input"
    SERIES = "a DICOM series"
    PLACES = "a DICOM series whose slices have places"


class ReportFormat(StrEnum):
    """What `--format` takes. A row: name, what writes it, what it needs, and whether it is written by default.

    Writers are named, not imported: the command line needs the names of the formats for its help, and not what writes
    them. A file is written by `module.function(diagnosis, folder)`. Objects for the folder `dicom` are made by
    `module.function(derivation)`, which yields their names and datasets. File names stand in `study.own_results`.
    """

    writer: str
    """Of a file; empty if the format has DICOM objects only."""
    objects: str
    """Of DICOM objects; empty if the format has none."""
    need: Need
    default: bool

    HTML = "html", "html_report.write_html", "", Need.NOTHING, True
    NIFTI = "nifti", "nifti_report.write_niftis", "", Need.GRID, True
    PNG = "png", "images.write_pngs", "", Need.NOTHING, False
    CSV = "csv", "csv_report.write_csvs", "", Need.NOTHING, False
    PDF = "pdf", "pdf_report.write_pdf", "dicom_pdf.printed_report", Need.NOTHING, False
    SEG = "seg", "", "dicom_seg.segmentations", Need.PLACES, True
    SR = "sr", "", "dicom_sr.report_with_segmentations", Need.SERIES, True
    PM = "pm", "", "dicom_pm.parametric_maps", Need.PLACES, False
    SC = "sc", "", "dicom_sc.key_slice_captures", Need.SERIES, False
    JSON = "json", "json_report.write_json", "", Need.NOTHING, True  # last: its file marks a finished result

    def __new__(
        cls, name: str, writer: str = "", objects: str = "", need: Need = Need.NOTHING, default: bool = False
    ) -> ReportFormat:
        """A member whose value is its name. The defaults let type checkers accept the look-up by name."""
        row = str.__new__(cls, name)
        row._value_ = name
        row.writer, row.objects, row.need, row.default = writer, objects, need, default
        return row


def load(named: str) -> Callable[..., Any]:
    """The function of this package that a row names, as "module.function"."""
    module, _, function = named.partition(".")
    loaded: Callable[..., Any] = getattr(import_module(f"jcs_ct.reports.{module}"), function)
    return loaded


def default_formats(study: Study) -> frozenset[ReportFormat]:
    """The default formats that the input allows; masks as pictures where it does not allow volumes."""
    allowed = {each for each in ReportFormat if each.default and not _lacks(study, each.need)}
    return frozenset(allowed if ReportFormat.NIFTI in allowed else allowed | {ReportFormat.PNG})


def check_formats(wanted: Collection[ReportFormat], study: Study) -> frozenset[ReportFormat]:
    """The formats to write, JSON included.

    Raises:
        UsageError: the input lacks what one of them needs.
    """
    formats = frozenset(wanted) | {ReportFormat.JSON}
    for each in sorted(formats):
        if lacking := _lacks(study, each.need):
            raise UsageError(f"--format {each}: {lacking}")
    return formats


def _lacks(study: Study, need: Need) -> str:
    """What the input lacks of a need, and what to ask for instead; empty if it lacks nothing."""
    # As `nifti_report.has_grid`, which would import nibabel.
    if need is Need.GRID and study.geometry is None and study.kind.value != "nifti":
        return "the input states no positions and spacing, which a volume needs; ask for png instead"
    if need in (Need.SERIES, Need.PLACES) and study.dicom is None:
        found = {"nifti": "a NIfTI file", "images": "pictures"}.get(study.kind.value, study.kind.value)
        return (
            f"found {found}, expected a DICOM series, whose patient, study and images DICOM results refer to; ask for "
            "json, html, csv, pdf, nifti or png instead"
        )
    if need is Need.PLACES and study.dicom is not None and not study.dicom.placed:
        return (
            "the slices state no position, orientation, spacing or frame of reference, without which nothing can be "
            "laid over them; ask for png instead"
        )
    return ""
