"""A table of studies as input: CSV, or Parquet where pyarrow is installed.

Columns: `path` (relative to the table's folder or absolute), and where wanted `id`, `study_uid`, `series_uid`, `lungs`,
`lobes`. Other columns are left alone.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jcs_ct.batch.items import Found, Item, without_suffix
from jcs_ct.errors import UsageError

COLUMNS = ("path", "id", "study_uid", "series_uid", "lungs", "lobes")
_SUFFIXES = (".csv", ".parquet")


def is_table(path: Path) -> bool:
    """Whether a path is that of a table, by its name."""
    return path.suffix.lower() in _SUFFIXES and not path.is_dir()


def read_table(path: Path) -> list[Found]:
    """The studies of a table, in its order. Whether they exist is seen when they are read.

    Raises:
        UsageError: the table cannot be read, has no column `path`, an empty path, or one id twice.
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _parquet_rows(path)
    found, ids = [], set[str]()
    for number, row in enumerate(rows, 2):
        cells = {column: str(row.get(column) or "").strip() or None for column in COLUMNS}
        if cells["path"] is None:
            raise UsageError(f"{path}, line {number}: the path is empty, expected that of a study")
        if (own := cells["id"]) is not None:
            if own in ids:
                raise UsageError(f"{path}, line {number}: found the id {own!r} a second time, expected unique ids")
            ids.add(own)
        place = _place(path, cells["path"])
        item = Item(
            "", place, cells["study_uid"], (), cells["series_uid"], *(_mask(path, cells[m]) for m in ("lungs", "lobes"))
        )
        found.append(Found(own or _label(place, cells["study_uid"]), item))
    return found


def write_table(items: Iterable[Item], path: Path) -> None:
    """Write studies as a table that `read_table` takes."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for item in items:
            place = item.path if "://" in item.path else os.path.abspath(item.path)
            writer.writerow([place, item.name, item.study_uid, item.series_uid, item.lungs, item.lobes])


def import_pyarrow() -> Any:
    """The packages `pyarrow` and `pyarrow.parquet`; None where they are not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        return None
    return pyarrow


def _place(table: Path, stated: str) -> str:
    if "://" in stated:
        return stated
    return str(table.parent / stated)


def _mask(table: Path, stated: str | None) -> str | None:
    return None if stated is None else str(table.parent / stated)


def _label(place: str, study_uid: str | None) -> str:
    name = without_suffix(Path(place).name)
    return f"{name}_{study_uid}" if study_uid else name


def _csv_rows(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the table {path} ({error}); expected CSV in UTF-8 with a column path") from error
    return _checked(path, columns, rows)


def _parquet_rows(path: Path) -> Sequence[Mapping[str, Any]]:
    pyarrow = import_pyarrow()
    if pyarrow is None:
        raise UsageError(f"{path}: reading Parquet needs pyarrow: pip install 'jcs-ct[parquet]', or give a CSV table")
    try:
        table = pyarrow.parquet.read_table(path)
    except Exception as error:  # pyarrow's errors share no base with Python's
        raise UsageError(f"cannot read the table {path} ({error}); expected Parquet with a column path") from error
    return _checked(path, table.column_names, table.to_pylist())


def _checked(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if "path" not in columns:
        shown = ", ".join(columns) or "none"
        raise UsageError(f"{path}: found the columns {shown}; expected path, and where wanted {', '.join(COLUMNS[1:])}")
    return rows
