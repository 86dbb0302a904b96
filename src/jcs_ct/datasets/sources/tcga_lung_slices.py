"""58 single DICOM slices of 39 patients with lung cancer, many scanners, all before 2014."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of, split_by_name

DENSE = frozenset[str]()
"""Slices with consolidation, effusion or no lung: no empty mask is drawn from them."""


def read(folder: Path) -> list[SliceRecord]:
    """Slices without consolidation or effusion, as uninfected studies of one slice."""
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
        if row["kept"] == "1" and row["file"][:7] not in DENSE
    ]


SOURCE = Source("tcga-lung-slices", read, licence="CC BY 3.0")
