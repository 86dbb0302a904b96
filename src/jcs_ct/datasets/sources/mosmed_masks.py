"""Lesion masks for 50 slices of `mosmed-slices`, which lies beside it. For testing only, as another hospital."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of


def read(folder: Path) -> list[SliceRecord]:
    """The slices with a lesion. The studies are infected, so that an empty mask would be unsure."""
    return [
        SliceRecord(
            folder.name,
            folder.parent / "mosmed-slices" / "covid" / f"{row['image']}.jpg",
            "test",
            True,
            f"covid/{row['image']}",
            folder / f"{row['image']}_infection.png",
        )
        for row in rows_of(folder / "index.csv")
        if int(row["lesion_px_on_slice"]) > 0
    ]


SOURCE = Source("mosmed-masks", read, licence="CC BY-NC-ND 3.0", reader="MosMedData", patients="mosmed")
