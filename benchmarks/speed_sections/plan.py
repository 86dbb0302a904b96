"""What all sections share: amount of measuring, machine, and files of figures."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

Figures = dict[str, Any]
LIBRARIES = ("numpy", "openvino", "torch", "onnxruntime")
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8")
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Environment under which OpenVINO's and torch's kernels and the matrix product behave as on a processor with AVX2 and
nothing newer. ONNX Runtime cannot be told, and OpenVINO's own small kernels take no notice either."""


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    data: Path
    quick: bool
    """A few slices and one run of each, to test the machinery; the figures mean nothing."""

    @property
    def runs(self) -> int:
        """Of a whole process; the median counts."""
        return 1 if self.quick else 3

    @property
    def rounds(self) -> int:
        """Of a network over its slices; the median counts."""
        return 2 if self.quick else 7

    @property
    def case_slices(self) -> int:
        """Slices of the cases."""
        return 40 if self.quick else 300


def timed(work: Callable[[], object]) -> float:
    """Duration of a call in seconds."""
    start = perf_counter()
    work()
    return perf_counter() - start


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each task after a warm-up. Tasks take turns: a slow phase of the machine affects all."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(timed(work))
    return {name: statistics.median(times) for name, times in taken.items()}


def machine() -> Figures:
    """The processor, its instruction sets and load, and the versions of libraries."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    fields = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in cpu.splitlines() if ":" in line}
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", platform.processor()),
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def save(folder: Path, name: str, plan: Plan, before: Figures, figures: Figures) -> Path:
    """Write a section's figures atomically.

    Args:
        folder: of all figures.
        name: of the section.
        plan: what was measured.
        before: the machine as it was before it.
        figures: what was found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    part = path.with_suffix(".partial")
    document = {"section": name, "quick": plan.quick, "machine": before, "figures": figures}
    part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def load(folder: Path) -> dict[str, Figures]:
    """The documents of all sections that were measured, by name."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))
    return {document["section"]: document for document in found}
