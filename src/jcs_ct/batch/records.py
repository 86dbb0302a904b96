"""Where a batch keeps its results, and what became of each study.

studies/NAME    results, as `jcs diagnose` writes them
records/NAME    .json: what became of the study, with its row of the cohort; .txt: the traceback of an internal error
claims/NAME     held (by a lock of the operating system) while somebody works on the study
pictures/NAME   .jpg: the most affected slice, for the cohort's page
cohort.csv      and the other files of the cohort

A record is written after its result, by renaming, so a record that says `done` has a whole result. If a kill falls
between the two, the result itself says what it was made from (`provenance.settings.batch`).
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from jcs_ct.batch.result_file import Document, read_document
from jcs_ct.errors import UsageError

RECORD_SCHEMA = "jcs-batch-record/1"


class State(StrEnum):
    """What became of a study."""

    DONE = "done"
    FAILED = "failed"
    """It cannot be diagnosed; a later call tries again."""
    INTERRUPTED = "interrupted"
    """It killed its worker, or exceeded its time or memory, for the first time; it is tried once more."""
    QUARANTINED = "quarantined"
    """It did so twice; it is tried again if asked for (--retry, --redo), or if it or the settings change."""
    RUNNING = "running"
    """Somebody works on it, or did when the call was killed."""


class Why(StrEnum):
    """Kinds of failures."""

    UNREADABLE = "unreadable input"
    WRONG_OPTION = "wrong option"
    TIME = "out of time"
    MEMORY = "out of memory"
    CRASH = "crashed"
    INTERNAL = "internal error"


@dataclass(frozen=True)
class Record:
    """What became of one study."""

    name: str
    state: State
    path: str | None
    """Where the study lies; None in a de-identified batch."""
    inputs: str
    """Fingerprint of the input's files."""
    recipe: str
    """Digest of all that the result depends on beside its input."""
    attempts: int = 0
    """That ended in `INTERRUPTED` or `QUARANTINED`."""
    why: Why | None = None
    reason: str = ""
    seconds: float | None = None
    result_bytes: int = 0
    """Size of result.json: a loss of power may leave a shorter one."""
    row: dict[str, Any] = field(default_factory=dict)
    """Of the cohort, where there is a result."""

    def as_json(self) -> str:
        """For `Records.write`."""
        return json.dumps({"schema": RECORD_SCHEMA, **asdict(self)}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """As `as_json` wrote it.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        fields = json.loads(text)
        if fields.pop("schema") != RECORD_SCHEMA:
            raise ValueError("found a record of another version")
        why = fields.pop("why")
        return cls(state=State(fields.pop("state")), why=None if why is None else Why(why), **fields)


class Records:
    """The folder of a batch.

    Args:
        root: made where missing.

    Raises:
        UsageError: it cannot be written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.studies, self.records, self.claims, self.pictures = (
            self.root / name for name in ("studies", "records", "claims", "pictures")
        )
        try:
            for folder in (self.studies, self.records, self.claims, self.pictures):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder {root} ({error.strerror}); expected one that may be written to"
            ) from error

    def result(self, name: str) -> Path:
        """Folder of a study's results."""
        return self.studies / name

    def claim(self, name: str) -> Path:
        """File whose lock says that somebody works on a study."""
        return self.claims / f"{name}.lock"

    def picture(self, name: str) -> Path:
        """The most affected slice."""
        return self.pictures / f"{name}.jpg"

    def traceback(self, name: str) -> Path:
        """Of an internal error."""
        return self.records / f"{name}.txt"

    def read(self, name: str) -> Record | None:
        """What became of a study; None where nothing is known, or the record is damaged."""
        try:
            return Record.from_json((self.records / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, record: Record) -> None:
        """Replace a study's record, all or nothing."""
        path = self.records / f"{record.name}.json"
        part = self.records / f".{record.name}.{uuid.uuid4().hex[:8]}.partial"
        try:
            with part.open("w", encoding="utf-8") as stream:
                stream.write(record.as_json())
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def all(self) -> Iterator[Record]:
        """All records, by name."""
        for path in sorted(self.records.glob("*.json")):
            if not path.name.startswith(".") and (record := self.read(path.stem)) is not None:
                yield record

    def document(self, name: str) -> Document | None:
        """The study's result.json; None where there is no whole one."""
        return read_document(self.result(name) / "result.json")

    def whole(self, record: Record) -> bool:
        """Whether the result that a record speaks of is still there."""
        with contextlib.suppress(OSError):
            return (self.result(record.name) / "result.json").stat().st_size == record.result_bytes
        return False
