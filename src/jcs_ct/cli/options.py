"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jcs_ct.reports.formats import ReportFormat

StudyInput = Annotated[Path, typer.Argument(metavar="INPUT", help="DICOM folder, zip, NIfTI, or picture(s).")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Lungs = Annotated[
    Path | None, typer.Option(help="Lung mask (NIfTI or DICOM SEG) to measure against, not what is found.")
]
Lobes = Annotated[Path | None, typer.Option(help="Lobes (NIfTI): 1 LU, 2 LL, 3 RU, 4 RM, 5 RL.")]
SeriesUid = Annotated[
    str | None, typer.Option(help="Series Instance UID to read in place of the best one (see jcs info).")
]
Formats = Annotated[
    list[ReportFormat] | None,
    typer.Option(
        "--format",
        help="What to write, once for each; json is always written. By default html and masks (nifti, or png "
        "without geometry), for DICOM also seg and sr.",
    ),
]
Deidentify = Annotated[
    bool, typer.Option("--deidentify", help="Leave out of all results who the patient is (DICOM PS3.15 Annex E).")
]
UidKey = Annotated[
    Path | None,
    typer.Option(help="File with the secret key for --deidentify: the same key replaces UIDs by the same ones."),
]
