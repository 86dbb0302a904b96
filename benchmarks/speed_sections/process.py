"""`jcs diagnose` as its caller sees it: a separate process, from before its start to all reports."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from benchmarks.cases import Case, write_case
from benchmarks.speed_sections.plan import Figures

POLL_S = 0.02
"""Seconds between two readings of a process's memory."""


def diagnosed(case: Path, *options: str, environment: Mapping[str, str] | None = None) -> Figures:
    """One run over a folder of DICOM files: seconds, peak memory in GB, and what was found.

    Seconds count from before the process is started, by this process's clock.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "jcs_ct.cli", "diagnose", str(case), "-o", out, "--stream", *options]
        start = perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | dict(environment or {})
        )
        peak = _Peak(process.pid)
        peak.start()
        assert process.stdout is not None
        told = [(perf_counter() - start, json.loads(line)) for line in process.stdout if line.startswith(b"{")]
        status = process.wait()
        seconds = perf_counter() - start
        peak.join()
        if status:
            raise RuntimeError(f"{' '.join(command)} ended with {status}")
        result = json.loads(Path(out, "result.json").read_text(encoding="utf-8"))
    first = [at for at, event in told if event["event"] in ("first_look", "result")]
    slices = result["slices"]
    return {
        "slices": len(slices),
        "seconds": seconds,
        "first_result_s": first[0],
        "peak_gb": peak.gb,
        "verdict": result["verdict"],
        "assessed_slices": sum(one["assessed"] for one in slices),
        "infected_slices": sum(one["infected"] is True for one in slices),
        "segmented_slices": sum(one["lesion_share"] is not None for one in slices),
        "stages_s": _stages([(at, event) for at, event in told if event["event"] == "stage"], result, told[-1][0])
        | {"end": seconds - told[-1][0]},
    }


def _stages(told: list[tuple[float, Figures]], result: Figures, end: float) -> dict[str, float]:
    """Seconds of each stage in order; those of the diagnosis by its own clock."""
    begin = {event["name"]: at for at, event in told}
    inner = {name: float(seconds) for name, seconds in result["timing_s"].items() if name != "total"}
    return {
        "start": begin["reading"],
        "read": begin["finding the lungs"] - begin["reading"],
        **inner,
        "write": end - begin["writing"],
    }


class _Peak(threading.Thread):
    """Watch the peak memory of a process in GB (2**30 bytes).

    Not by `wait4`, which includes the memory of the process that forked.
    """

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{process}/status")
        self.gb = 0.0

    def run(self) -> None:
        """Poll until the process has ended; the kernel keeps the peak, so little is missed."""
        ended = threading.Event()
        while not ended.wait(POLL_S):
            try:
                text = self._status.read_text()
            except OSError:
                return
            peak = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")]
            if not peak:  # ended, but not yet waited for
                return
            self.gb = max(self.gb, int(peak[0]) / 1024**2)


def median_run(case: Path, runs: int, *options: str, environment: Mapping[str, str] | None = None) -> Figures:
    """The run of middle duration, with the durations of all and the highest memory of all."""
    found = [diagnosed(case, *options, environment=environment) for _ in range(runs)]
    middle = sorted(found, key=lambda one: one["seconds"])[len(found) // 2]
    firsts = statistics.median(one["first_result_s"] for one in found)
    peak = max(one["peak_gb"] for one in found)
    return middle | {"all_seconds": [one["seconds"] for one in found], "first_result_s": firsts, "peak_gb": peak}


def made(data: Path, case: Case, folder: Path, slices: int, infected_share: float | None = None) -> Path:
    """A case's folder, written if it is missing."""
    name = f"{case}-{slices}" + ("" if infected_share is None else f"-{infected_share:g}")
    if not (folder / name).exists():
        write_case(data, case, folder / name, slices, infected_share)
    return folder / name
