"""Many at once: nothing is lost, the page answers, and memory does not grow with what arrives."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.jobs.stand_in import starts
from tests.jobs.stores import quick
from tests.service.client import client_of, orders
from tests.service.processes import peak_mib, started

UPLOADS = 50
SIZE_MIB = 12
NICENESS = 5
"""Of workers, by default."""


@contextmanager
def busy_cores(count: int = 2) -> Iterator[None]:
    """Processes that compute without end, as workers with a study do."""
    command = [sys.executable, "-c", f"import os; os.nice({NICENESS})\nwhile True: pass"]
    busy = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_fifty_uploads_at_once(tmp_path: Path) -> None:
    settings = quick(tmp_path, niceness=NICENESS)
    arguments = ["-m", "tests.service.serve", str(tmp_path / "store"), settings.as_json()]
    answers: dict[str, list[float]] = {"/": [], "/api/v1/jobs": [], "/api/v1/health": []}
    over = threading.Event()
    with started(arguments, tmp_path / "log") as (process, address), busy_cores():

        def look() -> None:
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as browser:
                while not over.is_set():
                    for path, times in answers.items():
                        began = time.monotonic()
                        assert browser.get(path).status_code == 200
                        times.append(time.monotonic() - began)
                    over.wait(0.02)

        def upload(key: str) -> str:
            study = orders(key=key, steps=3, step_s=0.05) + b" " * (SIZE_MIB * 1024**2)
            with client_of(address) as http:
                answer = http.post("/jobs", files={"files": (f"{key}.json", study)}, timeout=300)
                assert answer.status_code == 202, answer.text
                return str(answer.json()["id"])

        with client_of(address) as http:
            http.get("/jobs")
            before = peak_mib(process.pid)
            with ThreadPoolExecutor(UPLOADS + 1) as threads:
                looking = threads.submit(look)
                try:
                    keys = [f"study-{number}" for number in range(UPLOADS)]
                    ids = list(threads.map(upload, keys))
                    deadline = time.monotonic() + 240
                    while http.get("/jobs", params={"state": "done"}).json()["total"] < UPLOADS:
                        assert time.monotonic() < deadline
                        time.sleep(0.2)
                finally:
                    over.set()
                looking.result()
            jobs = http.get("/jobs", params={"limit": 500}).json()
        grown = peak_mib(process.pid) - before
    assert jobs["total"] == len(set(ids)) == UPLOADS
    assert {job["id"] for job in jobs["jobs"]} == set(ids)
    assert {job["state"] for job in jobs["jobs"]} == {"done"}
    assert sorted(starts(tmp_path / "starts.log")) == sorted(keys)
    for path, times in answers.items():
        assert statistics.median(times) < 0.5, (path, statistics.quantiles(times, n=20))
    assert grown < UPLOADS * SIZE_MIB / 2, f"memory has grown by {grown:.0f} MiB"
