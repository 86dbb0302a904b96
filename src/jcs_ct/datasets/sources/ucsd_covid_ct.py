"""746 figures cut from papers, with the authors' split. The uninfected ones include other lung disease."""

from __future__ import annotations

from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of


def read(folder: Path) -> list[SliceRecord]:
    """Every figure under its own label; each counts as a patient."""
    return [
        SliceRecord(folder.name, folder / row["file"], row["split"], row["label"] == "covid", row["file"])
        for row in rows_of(folder / "split.csv")
    ]


SOURCE = Source("ucsd-covid-ct", read, licence="research use", clean_when_uninfected=False)
