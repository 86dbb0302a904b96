"""2,479 slices from hospitals in São Paulo; `split.csv` keeps what is likely one patient (`group`) in one split."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of


def read(folder: Path) -> list[SliceRecord]:
    """Every slice under its own label."""
    return [
        SliceRecord(folder.name, folder / row["file"], row["split"], row["label"] == "covid", row["group"])
        for row in rows_of(folder / "split.csv")
    ]


SOURCE = Source("sars-cov-2-ct", read, licence="CC BY-NC-SA 4.0")
