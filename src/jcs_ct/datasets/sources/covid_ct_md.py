"""Whole studies in HU of COVID-CT-MD: normal, other pneumonia, COVID-19 with a label for every slice.

The folder holds `normal001` of the figshare record, or the public repository ShahinSHH/COVID-CT-MD, or both. A study
that lies in both is read from the repository, where it has every slice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources.source import Source, rows_of
from jcs_ct.errors import DataError

TRAINING = frozenset({"normal002"})
"""The uninfected study that trains, for its apices and bases. All others are for testing."""
LABELS = "Slice-level-labels-updated-1.npy"
_INFECTED = {"normal": False, "P": True}


def read(folder: Path) -> list[SliceRecord]:
    """Studies of normal and of infected patients; those of other pneumonia show opacities of another cause.

    Raises:
        DataError: the folder holds no study.
    """
    parts = (path for path in (folder / "Sample data").glob("* subjects/*") if path.is_dir())
    studies = {path.name: path for path in [*folder.iterdir(), *parts] if path.is_dir() and _infected(path) is not None}
    if not studies:
        raise DataError(f"no studies found in {folder}; expected normal001 or the repository's `Sample data`")
    labels = _slice_labels(folder)
    return [
        SliceRecord(
            folder.name,
            path,
            "train" if name in TRAINING else "test",
            _infected(path),
            name,
            study=True,
            slice_labels=labels.get(name),
        )
        for name, path in sorted(studies.items())
    ]


def _infected(path: Path) -> bool | None:
    return _INFECTED.get(path.name.rstrip("0123456789"))


def _slice_labels(folder: Path) -> dict[str, tuple[bool, ...]]:
    """Of each study with labels whether its slices, from the head down, are infected."""
    if not (folder / LABELS).exists() or not (folder / "Index.csv").exists():
        return {}
    table = np.load(folder / LABELS)
    rows = {row["Folder/ID"]: int(row["Label Index"]) for row in rows_of(folder / "Index.csv")}
    return {name: tuple(table[row].astype(bool).tolist()) for name, row in rows.items() if row < len(table)}


SOURCE = Source("covid-ct-md", read, licence="CC BY 4.0")
