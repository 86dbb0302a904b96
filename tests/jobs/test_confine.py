"""A study that takes too much of the computer fails with its reason, and the next one is worked off."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct.jobs.job import JobState
from jcs_ct.jobs.queue import JobQueue
from jcs_ct.jobs.settings import QueueSettings
from jcs_ct.jobs.supervisor import Supervisor
from tests.jobs.costly_task import MIB, TASK
from tests.jobs.stores import ended, quick
from tests.service.processes import peak_mib

pytestmark = pytest.mark.usefixtures("_workers_find_the_stand_in")


def submit(queue: JobQueue, folder: Path, what: str) -> str:
    path = folder / "study"
    path.write_text(what)
    return queue.submit(path, "anna")


def settings(folder: Path) -> QueueSettings:
    return quick(folder, task=TASK, task_settings={}, memory_bytes=768 * MIB, cpu_s=2.0, reading_cpu_s=1.0)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("memory", "needs more memory than one study may have, 0.75 GiB"),
        ("time", "reading the study took more than 1 s of processor time"),
        ("swallow", "reading the study took more than 1 s of processor time"),
        ("later", "the study took more than 2 s of processor time"),
    ],
)
def test_study_that_takes_too_much_fails_with_its_reason(tmp_path: Path, what: str, reason: str) -> None:
    peak, over = [0.0], threading.Event()
    with JobQueue(tmp_path / "store", settings(tmp_path)) as queue:
        costly, following = submit(queue, tmp_path, what), submit(queue, tmp_path, "modest")
        with Supervisor(queue.folders.root, queue.settings) as supervisor:

            def look() -> None:
                while not over.is_set():
                    for pid in supervisor.worker_pids:
                        try:
                            peak[0] = max(peak[0], peak_mib(pid))
                        except (OSError, ValueError):
                            continue
                    time.sleep(0.02)

            looking = threading.Thread(target=look)
            looking.start()
            try:
                found = ended(queue, costly)
                assert ended(queue, following).state is JobState.DONE
            finally:
                over.set()
                looking.join()
    assert found.state is JobState.FAILED
    assert reason in (found.reason or "")
    assert found.attempts == 1
    assert 0 < peak[0] < 900


def can_leave_the_network() -> bool:
    code = "from jcs_ct.jobs.confine import leave_network; raise SystemExit(not leave_network())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("allowed", [True, False])
def test_workers_reach_no_network(tmp_path: Path, allowed: bool) -> None:
    expected = "reached" if allowed or not can_leave_the_network() else "not reached"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        chosen = replace(settings(tmp_path), network=allowed)
        with JobQueue(tmp_path / "store", chosen) as queue:
            job = submit(queue, tmp_path, f"network {listening.getsockname()[1]}")
            with Supervisor(queue.folders.root, chosen):
                assert ended(queue, job).summary["verdict"] == expected
