"""Calls of a batch with stand-ins, in this process or in one that can be killed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jcs_ct.batch.driver import Call, Totals, run_batch
from jcs_ct.batch.engine import Engine
from jcs_ct.batch.items import Item
from jcs_ct.batch.local import LocalEngine
from jcs_ct.batch.records import Record, Records, State
from jcs_ct.batch.settings import GIB, WorkSettings
from tests.batch.stand_in import TASK, items_in

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Seen:
    """A watcher that remembers."""

    ends: list[tuple[str, State, bool]] = field(default_factory=list)
    ticks: int = 0
    stop_after: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def started(self, totals: Totals) -> None:
        pass

    def ended(self, record: Record, worked: bool, totals: Totals) -> None:
        self.ends.append((record.name, record.state, worked))
        if self.stop_after is not None and len(self.ends) >= self.stop_after:
            self.stop.set()

    def tick(self, totals: Totals) -> None:
        self.ticks += 1


def settings_for(out: Path, **changes: Any) -> WorkSettings:
    return WorkSettings(str(out), **{"recipe": "r1", "task": TASK, "memory_bytes": GIB, **changes})


def call(
    studies: Path | Sequence[Item],
    out: Path,
    *,
    workers: int = 1,
    seen: Seen | None = None,
    grace_s: float = 20.0,
    engine: Engine | None = None,
    **changes: Any,
) -> Totals:
    """Run a batch over stand-ins to its end."""
    settings = settings_for(out, **changes)
    seen = seen or Seen()
    records = Records(out)
    items = items_in(studies) if isinstance(studies, Path) else studies
    engine = engine or LocalEngine(settings, workers)
    return run_batch(items, Call(records, settings, engine, seen, seen.stop, grace_s))


def states(out: Path) -> dict[str, str]:
    return {record.name: str(record.state) for record in Records(out).all()}


def start(studies: Path, out: Path, workers: int = 1) -> subprocess.Popen[bytes]:
    """A batch over stand-ins in a process of its own, and in a process group of its own."""
    script = (
        f"from pathlib import Path\nfrom tests.batch.calls import call\n"
        f"if __name__ == '__main__':\n    call(Path({str(studies)!r}), Path({str(out)!r}), workers={workers})\n"
    )
    path = out.parent / f"{out.name}-call.py"
    path.write_text(script)
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    return subprocess.Popen([sys.executable, str(path)], env=environment, start_new_session=True)
