"""Services as real processes, and what the system knows of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(arguments: Sequence[str], log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its address, the last word of the first line that it says."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(("serving at http", "http")), line + log.read_text()
        yield process, line.split()[-1].rstrip("/")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def members(group: int) -> list[int]:
    """Processes of a group, which is named after the first of them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def peak_mib(process: int) -> float:
    """The most memory that a process has had."""
    (line,) = (x for x in Path(f"/proc/{process}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def descendants(process: int) -> list[int]:
    """Processes that a process has started, and what those have started."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except OSError:  # the thread is gone
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def proportional_bytes(process: int) -> int:
    """Memory of a process; what it shares counts in part. 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def open_files(process: int) -> int:
    """File descriptors of a process; 0 for one that has ended."""
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return 0
