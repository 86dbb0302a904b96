"""The public data sources: where slices, labels, masks and splits are.

Each reader turns a folder into records; nothing is decoded here. Layouts and licences are described in
docs/data.md. A record's split is `train`, `val` or `test`; slices of one patient never lie in two.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jcs_ct.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True)
class SliceRecord:
    """One labelled slice on disk."""

    source: str
    path: Path
    split: str
    infected: bool | None
    """None where the source does not label it."""
    group: str
    """Patient, or what comes nearest to it."""
    mask: Path | None = None
    """Binary lesion mask of the same size, 0 and not 0."""
    turned: bool = False
    """Whether the picture is stored with its two lungs one above the other."""


def _images(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"no images found in {folder}; expected PNG or JPEG slices")
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; expected the split as CSV") from error


CT100_VALIDATION = frozenset(f"{number:03d}" for number in range(50, 58))
"""Eight neighbouring slices of the fifty training ones choose the segmenter's checkpoint."""


def covid_19_ct100(folder: Path) -> list[SliceRecord]:
    """100 slices with lesion masks; `semiseg_split.csv` is the published 50/48 split (Inf-Net)."""
    records = []
    for row in _rows(folder / "semiseg_split.csv"):
        number, split = row["slice"], row["split"]
        if split == "unused":
            continue
        if split == "train" and number in CT100_VALIDATION:
            split = "val"
        name = f"{number}.png"
        records.append(SliceRecord(folder.name, folder / "images" / name, split, True, number, folder / "masks" / name))
    return records


def covid_semiseg(folder: Path) -> list[SliceRecord]:
    """The same slices as `covid_19_ct100` in Inf-Net's form: cropped to the lungs and turned."""
    records = []
    for split in ("train", "test"):
        for path in _images(folder / split / "images"):
            masks = sorted((folder / split / "masks").glob(f"{path.stem}.*"))
            if not masks:
                raise DataError(f"no mask for {path}; expected one of the same name in {folder / split / 'masks'}")
            own = "val" if split == "train" and path.stem in CT100_VALIDATION else split
            records.append(SliceRecord(folder.name, path, own, True, path.stem, masks[0], turned=True))
    return records


def sars_cov_2_ct(folder: Path) -> list[SliceRecord]:
    """2,479 slices; `split.csv` keeps what is likely one patient (`group`) in one split."""
    return [
        SliceRecord(folder.name, folder / r["file"], r["split"], r["label"] == "covid", r["group"])
        for r in _rows(folder / "split.csv")
    ]


def ucsd_covid_ct(folder: Path) -> list[SliceRecord]:
    """746 figures from papers; the authors' split. The uninfected ones include other lung disease."""
    return [
        SliceRecord(folder.name, folder / r["file"], r["split"], r["label"] == "covid", r["file"])
        for r in _rows(folder / "split.csv")
    ]


def mosmed_slices(folder: Path) -> list[SliceRecord]:
    """1,062 slices, one a patient, under the study's label; every eighth, by name, is for validation."""
    records = []
    for label in ("covid", "non-covid"):
        for path in _images(folder / label):
            split = "val" if zlib.crc32(path.name.encode()) % 8 == 0 else "train"
            records.append(SliceRecord(folder.name, path, split, label == "covid", path.stem))
    return records


def coronacases(folder: Path) -> list[SliceRecord]:
    """15 infected series; kept out of every training here, so that whole cases are left to test on."""
    records = []
    for case in sorted(p for p in folder.iterdir() if p.is_dir()):
        patient = case.name.rsplit("_", 2)[0] if case.name.startswith("radiopaedia") else case.name
        records += [SliceRecord(folder.name, path, "test", True, patient, turned=True) for path in _images(case)]
    return records


SOURCES: dict[str, Callable[[Path], list[SliceRecord]]] = {
    "covid-19-ct100": covid_19_ct100,
    "covid-semiseg": covid_semiseg,
    "sars-cov-2-ct": sars_cov_2_ct,
    "ucsd-covid-ct": ucsd_covid_ct,
    "mosmed-slices": mosmed_slices,
    "coronacases": coronacases,
}


def read_source(name: str, data: Path) -> list[SliceRecord]:
    """Records of one source below the data folder `data` (or of `data` itself, if it bears the name).

    Raises:
        DataError: unknown source, missing folder, or a folder that is not laid out as documented.
    """
    if name not in SOURCES:
        raise DataError(f"unknown source {name!r}; known are {', '.join(SOURCES)}")
    folder = data if data.name == name else data / name
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; expected the source {name} there (see docs/data.md)")
    return SOURCES[name](folder)
