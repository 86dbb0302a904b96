"""A user's own data: one folder, and in it one table that names pictures, masks, labels and patients.

docs/data.md describes the table. What it says is checked here as far as that takes no decoding; the rest when slices
are brought to the one form (`normalized`), and whether slices on two sides look the same in `overlap`.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError, InputError, OverlapError
from jcs_ct.study.files import FileKind, kind_of, listing

LOG = logging.getLogger(__name__)
TABLE = "slices.csv"
OWN = "own"
"""Stands in a config for the folder that `--data` names, whatever it is called."""
REQUIRED = ("path", "patient", "infected", "mask")
OPTIONAL = ("split", "turned")
SPLITS = ("train", "val", "test")
SHARES = {"test": 0.2, "val": 0.15}
"""Of the patients of each kind, where the table does not say how they are split; the rest trains."""
_YES_OR_NO = {"1": True, "0": False}


@dataclass(frozen=True)
class OwnData:
    """A checked table."""

    records: list[SliceRecord]
    split_was_made: bool
    """Whether the table has no column `split`, so that patients were split here."""


def is_own(folder: Path) -> bool:
    """Whether a folder is laid out as own data."""
    return (folder / TABLE).is_file()


def read_own(folder: Path, source: str) -> OwnData:
    """The records of a user's folder.

    Args:
        folder: holds `slices.csv`.
        source: what configs and results call it.

    Raises:
        DataError: the table or a file that it names is not as documented.
        OverlapError: a patient lies in two splits, or the same file does.
    """
    table = folder / TABLE
    rows, columns = _rows(table)
    records = [_record(row, line, folder, source, "split" in columns) for line, row in rows]
    _refuse_repeats(records, table)
    _refuse_contradictions(records, table)
    if "split" not in columns:
        parts = split_by_patient(records)
        records = [replace(record, split=parts[record.group]) for record in records]
    _refuse_patients_on_two_sides(records, table)
    _refuse_equal_files(records, table)
    return OwnData(records, "split" not in columns)


def _rows(table: Path) -> tuple[list[tuple[int, dict[str, str]]], tuple[str, ...]]:
    """Rows that are not blank with their line numbers, and the names of the columns."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True, restval="")
            columns = tuple(name.strip() for name in reader.fieldnames or ())
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read ({error}); expected a table as CSV in UTF-8") from error
    if missing := [name for name in REQUIRED if name not in columns]:
        raise DataError(
            f"{table}: found the columns {', '.join(columns) or 'none'}, expected also {', '.join(missing)}: "
            f"the first line names the columns {', '.join(REQUIRED)} and may name {', '.join(OPTIONAL)}, with commas"
        )
    if not rows:
        raise DataError(f"{table}: found no rows below the names of the columns, expected one a picture or study")
    for line, row in rows:
        if None in row:  # DictReader keeps there what is beyond the last column
            raise DataError(f"{table}, line {line}: found more fields than columns; put names with commas in quotes")
    return [(line, {name: value.strip() for name, value in row.items()}) for line, row in rows], columns


def _record(row: dict[str, str], line: int, folder: Path, source: str, has_split: bool) -> SliceRecord:
    where = f"{folder / TABLE}, line {line}"
    if not row["patient"]:
        raise DataError(f"{where}: found no patient, expected a name or number that is the patient's alone")
    if has_split and row["split"] not in SPLITS:
        raise DataError(
            f"{where}: found split {row['split']!r}, expected train, val or test in every row: "
            "fill it in, or leave the column out to have patients split"
        )
    if row["infected"] not in ("", *_YES_OR_NO):
        raise DataError(f"{where}: found infected {row['infected']!r}, expected 1, 0 or nothing")
    if row.get("turned", "") not in ("", *_YES_OR_NO):
        raise DataError(f"{where}: found turned {row['turned']!r}, expected 1, 0 or nothing")
    path = _inside(folder, row["path"], where, "path")
    record = SliceRecord(
        source,
        path,
        row["split"] if has_split else "",
        _YES_OR_NO.get(row["infected"]),
        row["patient"],
        _inside(folder, row["mask"], where, "mask") if row["mask"] else None,
        int(_YES_OR_NO.get(row.get("turned", ""), False)),
        own=True,
        line=line,
        study=path.is_dir() or _kind(path, where) is not FileKind.IMAGE,
    )
    if record.quarter_turns and record.study:
        raise DataError(f"{where}: found turned 1 for a study, which is turned by itself: leave `turned` empty")
    _check_mask(record, where)
    return record


def _inside(folder: Path, name: str, where: str, column: str) -> Path:
    """The file or folder of a row, which must be there and in the data folder."""
    if not name:
        raise DataError(f"{where}: found no {column}, expected the name of a picture or study in {folder}")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where}: {column} {name} leads out of {folder}; copy the file into the folder")
    if not path.exists():
        raise DataError(f"{where}: {column} {name} does not exist in {folder}; check its name, or remove the row")
    return path


def _kind(path: Path, where: str) -> FileKind:
    try:
        kind = kind_of(path)
    except InputError as error:
        raise DataError(f"{where}: {error}") from error
    if kind is FileKind.UNKNOWN:
        raise DataError(
            f"{where}: {path.name} is damaged or of an unknown kind; expected a PNG or JPEG slice, a DICOM folder or "
            "a NIfTI file: export it again, or remove the row"
        )
    return kind


def _check_mask(record: SliceRecord, where: str) -> None:
    """That a mask is of the kind and size of its picture, by the files' headers alone."""
    if record.mask is None:
        return
    wanted = FileKind.NIFTI if record.study else FileKind.IMAGE
    if record.mask.is_dir() or _kind(record.mask, where) is not wanted:
        raise DataError(f"{where}: the mask {record.mask.name} is no {wanted}, expected one for {record.path.name}")
    if record.study:
        return  # its grid is known when the study has been read
    try:
        sizes = []
        for path in (record.path, record.mask):
            with Image.open(path) as image:
                sizes.append(image.size)
    except OSError as error:
        raise DataError(f"{where}: {path.name} is damaged ({error}); export it again, or remove the row") from error
    if sizes[0] != sizes[1]:
        found, expected = (f"{width} x {height}" for width, height in reversed(sizes))
        raise DataError(
            f"{where}: the mask {record.mask.name} has {found} pixels, expected {expected} as {record.path.name} has"
        )


def _refuse_repeats(records: Iterable[SliceRecord], table: Path) -> None:
    first: dict[Path, SliceRecord] = {}
    for record in records:
        other = first.setdefault(record.path.resolve(), record)
        if other is not record:
            raise DataError(
                f"{table}, lines {other.line} and {record.line}: both name {record.path.name}; remove one of them"
            )


def _refuse_contradictions(records: Iterable[SliceRecord], table: Path) -> None:
    """A study's label is the patient's at that time, and a patient is one sample: both labels cannot be evaluated."""
    first: dict[str, SliceRecord] = {}
    for record in records:
        if record.study and record.infected is not None:
            other = first.setdefault(record.group, record)
            if other.infected != record.infected:
                raise DataError(
                    f"{table}, lines {other.line} and {record.line}: the studies {other.path.name} and "
                    f"{record.path.name} of patient {record.group} bear both labels, expected one: keep one of the "
                    "studies, or leave `infected` empty in one"
                )


def split_by_patient(records: Iterable[SliceRecord]) -> dict[str, str]:
    """A split for every patient, the same whenever the patients are the same.

    Patients of one kind (by label, and by whether a mask is known) are put in the order of the SHA-256 of their names;
    the first of them test, the next validate, the rest train: 20 %, 15 % and 65 %, but one of each where there are
    three or more of a kind, and one to train and one to validate where there are two.
    """
    labels: dict[str, set[bool | None]] = defaultdict(set)
    masked: dict[str, bool] = defaultdict(bool)
    for record in records:
        labels[record.group].add(record.infected)
        masked[record.group] |= record.mask is not None
    kinds: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for patient, found in labels.items():
        label = "infected" if True in found else "unknown" if None in found else "uninfected"
        kinds[label, masked[patient]].append(patient)
    splits: dict[str, str] = {}
    for patients in kinds.values():
        patients.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
        count = len(patients)
        test = max(1, round(SHARES["test"] * count)) if count > 2 else 0
        val = max(1, round(SHARES["val"] * count)) if count > 1 else 0
        for place, patient in enumerate(patients):
            splits[patient] = "test" if place < test else "val" if place < test + val else "train"
    return splits


def _refuse_patients_on_two_sides(records: Iterable[SliceRecord], table: Path) -> None:
    sides: dict[str, dict[str, int]] = defaultdict(dict)
    for record in records:
        sides[record.group].setdefault(record.split, record.line)
    torn = {patient: lines for patient, lines in sides.items() if len(lines) > 1}
    if torn:
        named = [
            f"{patient} ({', '.join(f'{split} in line {line}' for split, line in lines.items())})"
            for patient, lines in torn.items()
        ]
        raise OverlapError(
            f"{table}: found {len(torn)} patients in two splits: {listing(named)}; expected every patient in one: "
            "put all rows of a patient into one split, or leave the column out to have patients split"
        )


def _refuse_equal_files(records: Sequence[SliceRecord], table: Path) -> None:
    """The same file under two names: on two sides it is a leak, and with two labels one of them is wrong."""
    of_size: dict[int, list[SliceRecord]] = defaultdict(list)
    for record in records:
        of_size[sum(path.stat().st_size for path in files_of(record.path))].append(record)
    first: dict[str, SliceRecord] = {}
    leaks = []
    for alike in of_size.values():
        for record in alike if len(alike) > 1 else ():  # only files of one size can be equal
            other = first.setdefault(content_digest(record.path), record)
            if other.split != record.split:
                leaks.append(
                    f"{other.path.name} ({other.split}, line {other.line}) and "
                    f"{record.path.name} ({record.split}, line {record.line})"
                )
            elif None not in (other.infected, record.infected) and other.infected != record.infected:
                raise DataError(
                    f"{table}, lines {other.line} and {record.line}: {other.path.name} and {record.path.name} are the "
                    "same file and bear both labels; remove the wrong row"
                )
    if leaks:
        raise OverlapError(
            f"{table}: found {len(leaks)} files that lie in two splits under two names: {listing(leaks)}; "
            "expected every picture once: remove one of each"
        )


def files_of(path: Path) -> list[Path]:
    """A file itself, or all files below a folder, in a stable order."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def content_digest(path: Path) -> str:
    """SHA-256 (hex) over the bytes of a file, or of all files below a folder."""
    digest = hashlib.sha256()
    for file in files_of(path):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def write_table(records: Sequence[SliceRecord], folder: Path, target: Path) -> None:
    """Write a table that says how patients were split, fit to take the place of the one in `folder`."""
    shown = {True: "1", False: "0", None: ""}
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "patient", "split", "infected", "mask", "turned"))
        for record in records:
            path, mask = ("" if p is None else _within(folder, p) for p in (record.path, record.mask))
            turned = "1" if record.quarter_turns else ""
            writer.writerow((path, record.group, record.split, shown[record.infected], mask, turned))


def _within(folder: Path, path: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()
