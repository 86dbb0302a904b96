"""Memory of one network on one engine, in a process of its own: printed in GB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from benchmarks.speed_sections.backends import engine_makers

from jcs_ct.weights import load_manifest

ROOT = Path(__file__).resolve().parents[2]
SLICES = 8


def memory_gb(network: str, engine: str, size: tuple[int, int], data: Path, folder: Path) -> float:
    """What a network adds to its process at its peak, in GB (2**30 bytes): weights, compiling, and a few slices.

    Libraries are loaded before and are not counted: a process that only ran this engine would not load the others.
    """
    command = [sys.executable, "-m", __name__, network, engine, *map(str, size), str(data), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.split()[-1])


def _status_gb(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(field)) / 1024**2


def main() -> None:
    """Make the network, run it, print what that took."""
    name, engine, height, width, data, folder = sys.argv[1:]
    size = (int(height), int(width))
    make = engine_makers(load_manifest()[name], size, Path(data), Path(folder), 0)[engine]
    before = _status_gb("VmRSS")
    network = make()
    for _ in network.run(np.zeros((SLICES, *network.input_size), np.uint8)):
        pass
    print(_status_gb("VmHWM") - before)


if __name__ == "__main__":
    main()
