"""1,062 slices of MosMedData, one a patient, under the study's label."""

from __future__ import annotations

import zlib
from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, images_in

OUTLINED = frozenset(f"img{number}" for number in range(50))
"""The infected studies whose slices `mosmed-masks` outlines: for testing, in both folders."""


def read(folder: Path) -> list[SliceRecord]:
    """Every slice under its study's label; of those that nobody outlined every eighth, by name, validates."""
    records = []
    for label in ("covid", "non-covid"):
        for path in images_in(folder / label):
            split = "val" if zlib.crc32(path.name.encode()) % 8 == 0 else "train"
            if label == "covid" and path.stem in OUTLINED:
                split = "test"
            patient = f"{label}/{path.stem}"
            records.append(SliceRecord(folder.name, path, split, label == "covid", patient))
    return records


SOURCE = Source("mosmed-slices", read, licence="CC BY-NC-ND 3.0", noisy_labels=True, patients="mosmed")
