"""58 single DICOM slices of 39 patients with lung cancer, many scanners, all before 2014."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of, split_by_name

LEFT_OUT = {
    *("0014", "0028", "0031", "0042", "0048", "0052", "0055", "0062"),
    *("0064", "0068", "0089", "0091", "0092", "0093", "0097"),
}
"""Slices with consolidation, ground glass or effusion, without lungs, or of prone patients: looked at one by one."""


def read(folder: Path) -> list[SliceRecord]:
    """Slices without diffuse opacity, as uninfected studies of one slice."""
    return [
        SliceRecord(
            folder.name,
            folder / f"{row['file']}.dcm",
            split_by_name(row["patient"]),
            False,
            row["patient"],
            study=True,
        )
        for row in rows_of(folder / "index.csv")
        if row["kept"] == "1" and row["file"][3:7] not in LEFT_OUT
    ]


SOURCE = Source("tcga-lung-slices", read, licence="CC BY 3.0")
