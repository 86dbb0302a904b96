"""How fast `jcs batch` is, whether it does each study once, and whether its workers' memory stays flat.

    python benchmarks/batch.py --study DIR [--studies 200] [--slices 20] [--workers 2] [--engine local] [--out FILE]

The real study is given under many names, cut to `--slices` slices or to three lengths. Figures are those of one call of
the command: studies an hour and worker from the first result to the last, and the resident memory of each worker. They
are written as JSON to `--out`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread

_LOOK_S = 1.0


@dataclass
class Memory:
    """Resident memory of the processes below one, seen once a second."""

    seen: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """MiB by process."""

    def look(self, root: int) -> None:
        """Take down what each descendant holds now."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        below, grown = {root}, True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in below} - below
            below |= more
            grown = bool(more)
        for pid in below - {root}:
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
            self.seen[pid].append(pages * os.sysconf("SC_PAGE_SIZE") / 1024**2)

    def growth(self) -> list[dict[str, int]]:
        """Of each process that lived long: the mean of the second and of the last quarter of the run, and the peak."""
        figures = []
        for values in self.seen.values():
            quarter = len(values) // 4
            if quarter >= 5 and max(values) > 200:  # what is smaller is no worker
                early, late = values[quarter : 2 * quarter], values[-quarter:]
                figures.append(
                    {
                        "early_mib": round(sum(early) / len(early)),
                        "late_mib": round(sum(late) / len(late)),
                        "peak_mib": round(max(values)),
                    }
                )
        return figures


def main() -> int:
    """Run the benchmark; 0 if every study was done once."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="jcs-benchmark-") as place:
        root = Path(place)
        _make_studies(root / "in", options.study, options.studies, options.slices)
        figures = _measure(root, options)
    print(json.dumps(figures, indent=2))
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if figures["done"] == options.studies else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", type=Path, required=True, help="folder of DICOM files of one study")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument(
        "--slices", type=int, default=0, help="slices of each study; 0 for all, and lengths that differ"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _make_studies(root: Path, study: Path, count: int, slices: int) -> None:
    """Folders of hard links, so that many studies take the room of one; every third is cut shorter."""
    files = [path for path in sorted(study.iterdir()) if path.is_file()]
    files.sort(key=lambda path: float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]))
    originals = root.parent / "original"
    originals.mkdir()
    for path in files:
        (originals / path.name).write_bytes(path.read_bytes())
    for number in range(count):
        folder = root / f"study-{number:05d}"
        folder.mkdir(parents=True)
        length = slices or len(files) - (number % 3) * (len(files) // 10)
        start = (len(files) - length) // 2
        for path in files[start : start + length]:
            os.link(originals / path.name, folder / path.name)


def _measure(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    out, memory = root / "out", Memory()
    words = [sys.executable, "-m", "jcs_ct.cli", "batch", str(root / "in"), "-o", str(out), "--json"]
    words += ["--workers", str(options.workers), "--engine", options.engine]
    words += ["--address", "local"] if options.engine == "ray" else []
    began = time.monotonic()
    with (root / "events").open("w+", encoding="utf-8") as events:
        process = subprocess.Popen(words, stdout=events)
        while process.poll() is None:
            memory.look(process.pid)
            time.sleep(_LOOK_S)
        seconds = time.monotonic() - began
        events.seek(0)
        ended = [event for event in map(json.loads, events) if event["event"] == "study"]
    names = [event["study"] for event in ended if event["state"] == "done"]
    with (out / "cohort.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    first, last = ended[0]["seconds"], ended[-1]["seconds"]
    hours = (last - first) / 3600
    return {
        "studies": options.studies,
        "slices": options.slices or "all of the study, and fewer",
        "workers": options.workers,
        "engine": options.engine,
        "done": len(set(names)),
        "done_twice": len(names) - len(set(names)),
        "rows": len(rows),
        "verdicts": sorted({row["verdict"] for row in rows}),
        "seconds": round(seconds, 1),
        "per_hour": round((len(names) - 1) / hours) if hours else None,
        "per_hour_and_worker": round((len(names) - 1) / hours / options.workers) if hours else None,
        "load_at_end": round(os.getloadavg()[0], 2),
        "workers_memory": memory.growth(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
