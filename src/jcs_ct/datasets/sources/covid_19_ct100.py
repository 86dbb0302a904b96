"""100 axial slices with lesion masks by MedSeg; `semiseg_split.csv` is the published 50/48 split (Inf-Net)."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of

VALIDATION = frozenset(f"{number:03d}" for number in range(50, 58))
"""Eight neighbouring slices of the fifty training ones choose the segmenter's checkpoint."""


def read(folder: Path) -> list[SliceRecord]:
    """The slices of the published split; two are in neither part."""
    records = []
    for row in rows_of(folder / "semiseg_split.csv"):
        number, split = row["slice"], row["split"]
        if split == "unused":
            continue
        if split == "train" and number in VALIDATION:
            split = "val"
        name = f"{number}.png"
        records.append(SliceRecord(folder.name, folder / "images" / name, split, True, number, folder / "masks" / name))
    return records


SOURCE = Source("covid-19-ct100", read, licence="CC0", reader="MedSeg", patients="covid-19-ct100")
