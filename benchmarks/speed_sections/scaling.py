"""Cost of a diagnosis by number of slices, share of infected slices, and cores."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.speed_sections.plan import Figures, Plan
from benchmarks.speed_sections.process import made, median_run

SLICES = (50, 100, 200, 300, 600, 1200)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def scaling(plan: Plan) -> Figures:
    """Infected cases in processes of their own."""
    cores = len(os.sched_getaffinity(0))
    threads = sorted({1, *(2**k for k in range(1, 8) if 2**k < cores), cores})
    with tempfile.TemporaryDirectory() as folder:
        by_slices = [
            median_run(made(plan.data, Case.INFECTED, Path(folder), count), plan.runs)
            for count in ((40, 50) if plan.quick else SLICES)
        ]
        by_share = [
            median_run(made(plan.data, Case.INFECTED, Path(folder), plan.case_slices, share), 1) | {"share": share}
            for share in (SHARES[-1:] if plan.quick else SHARES)
        ]
        case = made(plan.data, Case.INFECTED, Path(folder), plan.case_slices)
        by_threads = [median_run(case, 1, "--threads", str(count)) | {"threads": count} for count in threads]
    a_slice = [run["seconds"] / run["slices"] for run in by_slices]
    first, last = by_slices[0], by_slices[-1]
    return {
        "by_slices": by_slices,
        "growth": a_slice[-1] / a_slice[0],
        "largest_growth": max(value / min(a_slice[: k + 1]) for k, value in enumerate(a_slice)),
        "each_further_slice_s": (last["seconds"] - first["seconds"]) / (last["slices"] - first["slices"]),
        "by_share": by_share,
        "by_threads": by_threads,
    }
