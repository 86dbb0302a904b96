"""The data sources: where slices, labels, masks and splits are, in public sets and in a user's own folder (`own`).

Each reader turns a folder into records; nothing is decoded here. Layouts and licences are described in
docs/data.md. A record's split is `train`, `val` or `test`; slices of one patient never lie in two.
"""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from jcs_ct.datasets.own import OWN, TABLE, is_own, read_own
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}


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
            composition = folder / split / "masks_ggo_consolidation" / f"{path.stem}.png"
            record = SliceRecord(folder.name, path, own, True, path.stem, masks[0], turned=True)
            records.append(replace(record, composition=composition if composition.exists() else None))
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


ONE_SET = frozenset({"covid-19-ct100", "covid-semiseg"})
"""Two forms of the same slices: a file of the latter is a rotated crop of the one of its number in the former."""


def _name(folder: Path) -> str:
    """What a user calls a folder, `.` and `..` as well; a link bears its own name and not that of what it leads to."""
    return Path(os.path.abspath(folder)).name


def own_folder(name: str, data: Path) -> Path | None:
    """Where the source `name` lies if it is a user's own: `data` itself or a folder in it; None if it is not."""
    if name == OWN and is_own(data):
        return data
    folder = data if _name(data) == name else data / name
    return folder if name not in SOURCES and is_own(folder) else None


def sources_in(data: Path) -> list[str]:
    """Names of all sources that lie in `data`, or of `data` itself, in a stable order."""
    own_name = _name(data)
    if own_name in SOURCES or is_own(data):
        return [own_name]
    folders = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    own = [path.name for path in folders if path.name not in SOURCES and is_own(path)]
    return [*(name for name in SOURCES if (data / name).is_dir()), *own]


def read_source(name: str, data: Path) -> list[SliceRecord]:
    """Records of one source below the data folder `data` (or of `data` itself, if it bears the name).

    Args:
        name: of a public source, of a folder of one's own data, or `own` for `data` itself.
        data: the folder.

    Raises:
        DataError: unknown source, missing folder, or a folder that is not laid out as documented.
        OverlapError: own data with a patient or a file in two splits.
    """
    if (folder := own_folder(name, data)) is not None:
        return read_own(folder, name).records
    if name == OWN:
        raise DataError(f"found no {TABLE} in {data}, expected own data there, laid out as in docs/data.md")
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise DataError(f"unknown source {name!r}; known are {known}, and folders of that name with a {TABLE}")
    folder = data if _name(data) == name else data / name
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; expected the source {name} there (see docs/data.md)")
    return SOURCES[name](folder)
