"""The cohort: one row a study, as CSV, Parquet and a page; made of records and results, without any inference."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jcs_ct.batch.cohort_page import render_page
from jcs_ct.batch.follow_ups import FOLLOW_UP_COLUMNS, find_follow_ups
from jcs_ct.batch.items import keyed_name
from jcs_ct.batch.records import Record, Records, State
from jcs_ct.batch.result_file import EMPTY_ROW, Row, row_of
from jcs_ct.batch.table import import_pyarrow
from jcs_ct.errors import UsageError

_WHOLE_NUMBERS = frozenset(
    {"infected_slices", "assessed_slices", "positive_up_to", "lesion_count", "severity", "slices"}
)
_TEXTS = frozenset(
    {"study", "input", "state", "why", "reason", "verdict", "severity_basis", "notices", "patient_id", "study_date"}
    | {"study_uid", "series_uid", "kind", "kernel", "manufacturer", "version", "weights", "digest"}
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class CohortOptions:
    """What the cohort's files hold."""

    thresholds: tuple[int, ...] = ()
    """Thresholds of the patient rule for which there is a column with the verdicts."""
    key: bytes | None = None
    """Identifiers are replaced with it; None leaves them as they are."""

    def __post_init__(self) -> None:
        if any(threshold < 1 for threshold in self.thresholds):
            raise UsageError("--threshold: expected at least 1 infected slice")


@dataclass(frozen=True)
class Written:
    """What `write_cohort` wrote."""

    rows: list[Row]
    files: list[Path]


def write_cohort(records: Records, target: Path, options: CohortOptions, anew: bool = True) -> Written:
    """Write `cohort.csv`, `cohort.parquet` (with pyarrow), `follow_ups.csv` and `cohort.html` into a folder.

    Args:
        records: of the batch.
        target: made where missing.
        options: what they hold.
        anew: whether the rows are made from the results again; else those of the records are taken.

    Raises:
        UsageError: the folder holds no batch, or `target` cannot be written to.
    """
    known = list(_known(records, anew))
    if not known:
        raise UsageError(f"{records.root} holds no results of a batch; expected the folder of jcs batch -o")
    rows = [_row(record, options) for record in known]
    pairs = find_follow_ups(records, rows) if options.key is None else _hidden_pairs(records, known, options.key)
    linked = options.key is None and target.resolve() == records.root
    try:
        target.mkdir(parents=True, exist_ok=True)
        files = [_write_csv(target / "cohort.csv", list(rows[0]), rows)]
        files += _write_parquet(target / "cohort.parquet", rows)
        files.append(_write_csv(target / "follow_ups.csv", FOLLOW_UP_COLUMNS, pairs))
        page = render_page(rows, pairs, records if linked else None)
        files.append(_replaced(target / "cohort.html", lambda path: _write_text(path, page)))
    except OSError as error:
        raise UsageError(f"cannot write the cohort to {target}: {error}") from error
    return Written(rows, files)


def verdict_at(row: Row, threshold: int) -> str | None:
    """The verdict of a row as it would be at a threshold of the patient rule."""
    if row["positive_up_to"] is None:
        verdict: str | None = row["verdict"]
        return verdict
    return "positive" if threshold <= row["positive_up_to"] else "negative"


def _known(records: Records, anew: bool) -> Iterator[Record]:
    """Records of all studies, with their rows; also of results whose record was lost."""
    told = set()
    for record in records.all():
        told.add(record.name)
        if record.state is State.DONE and anew:
            document = records.document(record.name)
            if document is not None:
                record = replace(record, row=row_of(document))
        yield record
    if anew:
        for folder in sorted(records.studies.iterdir()):
            document = None if folder.name in told else records.document(folder.name)
            if document is not None:
                yield Record(folder.name, State.DONE, None, "", "", row=row_of(document))


def _row(record: Record, options: CohortOptions) -> Row:
    result = record.row if record.state is State.DONE else {}
    row: Row = {
        "study": record.name,
        "input": record.path,
        "state": str(record.state),
        "why": None if record.why is None else str(record.why),
        "reason": record.reason or None,
        **EMPTY_ROW,
        **result,
        "seconds": record.seconds,
    }
    row |= {f"verdict_at_{threshold}": verdict_at(row, threshold) for threshold in options.thresholds}
    return row if options.key is None else _hidden(row, options.key)


def _hidden(row: Row, key: bytes) -> Row:
    """A row of nobody in particular. What was de-identified when it was written is replaced a second time."""
    # Here and not at the top: it takes a second to load.
    from jcs_ct.reports.deidentify import UidMap

    uids = UidMap(key)
    row |= {"study": keyed_name(row["study"], key), "input": None, "reason": None, "study_date": None}
    if row["patient_id"] is not None:
        row["patient_id"] = uids.pseudonym(row["patient_id"])
    return row | {name: uids.uid(row[name]) for name in ("study_uid", "series_uid") if row[name] is not None}


def _hidden_pairs(records: Records, known: Iterable[Record], key: bytes) -> list[Row]:
    """Follow-ups found by what identifies, told without it."""
    from jcs_ct.reports.deidentify import UidMap

    pairs = find_follow_ups(records, [_row(record, CohortOptions()) for record in known])
    for pair in pairs:
        pair["patient_id"] = UidMap(key).pseudonym(pair["patient_id"])
        pair |= {name: keyed_name(pair[name], key) for name in ("earlier", "later")}
        pair |= {"earlier_date": None, "later_date": None}
    return pairs


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

    return _replaced(path, write)


def _cell(value: object) -> object:
    """A value for CSV; text that a spreadsheet would run as a formula is made plain by an apostrophe."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _write_parquet(path: Path, rows: Sequence[Row]) -> list[Path]:
    pyarrow = import_pyarrow()
    if pyarrow is None:
        return []
    schema = pyarrow.schema([(name, _type(pyarrow, name)) for name in rows[0]])
    table = pyarrow.Table.from_pylist(list(rows), schema)
    return [_replaced(path, lambda part: pyarrow.parquet.write_table(table, part))]


def _type(pyarrow: Any, column: str) -> Any:
    if column in _TEXTS or column.startswith("verdict_at_"):
        return pyarrow.string()
    if column == "borderline":
        return pyarrow.bool_()
    return pyarrow.int64() if column in _WHOLE_NUMBERS else pyarrow.float64()


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _replaced(path: Path, write: Callable[[Path], None]) -> Path:
    """Have a file written aside and put into its place as a whole."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
