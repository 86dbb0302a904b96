"""What a public data set is: how its folder is read, and which roles its slices may play."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
HELD_BACK = {"test": 0.2, "val": 0.15}
"""Shares of the patients of a set without a published split; the others train."""


@dataclass(frozen=True)
class Source:
    """One public data set. Roles are flags here, so that no other module has to know a data set by name."""

    name: str
    """Of the folder below the data folder."""
    read: Callable[[Path], list[SliceRecord]]
    """From the folder to its records. Nothing is decoded."""
    licence: str
    reader: str | None = None
    """Who outlined the opacities; outlines of two readers differ in size. None without lesion masks."""
    lung_masks: bool = False
    """Whether readers outlined the lungs too."""
    clean_when_uninfected: bool = True
    """Whether an uninfected slice surely shows no opacity, so that its lesion mask is empty."""
    noisy_labels: bool = False
    """Whether slices bear the label of their study, so that many infected ones show no opacity."""
    patients: str = ""
    """Name of the patients' collection, shared by folders that hold the same patients; the source's name if empty."""
    form_of: str | None = None
    """The source whose very slices these are, in another form."""

    def patient(self, record: SliceRecord) -> tuple[str, str]:
        """Identity of a record's patient across all folders."""
        return (self.patients or self.name, record.group)


def split_by_name(patient: str) -> str:
    """A fixed split of patients by the SHA-256 of their names, for sets that publish none."""
    draw = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:4], "big") / 2**32
    if draw < HELD_BACK["test"]:
        return "test"
    return "val" if draw < HELD_BACK["test"] + HELD_BACK["val"] else "train"


def images_in(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of their names.

    Raises:
        DataError: there are none.
    """
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"no images found in {folder}; expected PNG or JPEG slices")
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV table.

    Raises:
        DataError: the table cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected the split as CSV") from error


def folders_in(folder: Path) -> list[Path]:
    """Folders of series in the order of their names.

    Raises:
        DataError: there are none.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    if not found:
        raise DataError(f"no series found in {folder}; expected one folder a series")
    return found


def if_there(path: Path) -> Path | None:
    """A path where the file exists."""
    return path if path.exists() else None
