"""Upload many studies at once to a real `jcs serve` that diagnoses them: is any lost, does the page respond?

    python benchmarks/uploads.py --data ../shared/data [--uploads 50] [--json docs/uploads.json]

Zips `dicom/lung-pet-ct-dx-A0002`, submits it many times at once, and requests the page, the worklist and the health of
the service until the last study is done. Prints the figures as JSON. Some minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

PATHS = ("/", "/api/v1/jobs", "/api/v1/health")
ENDED = ("done", "not_assessable", "failed", "cancelled")


def measured(study: Path, uploads: int, store: Path) -> dict[str, Any]:
    """Serve a fresh store, submit the study many times at once, and wait for all of them."""
    command = [sys.executable, "-m", "jcs_ct.cli", "serve", "--store", str(store), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1].rstrip("/")
        return _used(address, server.pid, study, uploads)
    finally:
        server.terminate()
        server.wait(60)


def _used(address: str, process: int, study: Path, uploads: int) -> dict[str, Any]:
    answers: dict[str, list[float]] = {path: [] for path in PATHS}
    over = threading.Event()
    begin = time.monotonic()

    def look() -> None:
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as browser:
            while not over.is_set():
                for path, times in answers.items():
                    asked = time.monotonic()
                    browser.get(path).raise_for_status()
                    times.append(time.monotonic() - asked)
                over.wait(0.2)

    def upload(number: int) -> str:
        with httpx.Client(base_url=address, timeout=600, trust_env=False, headers={"Origin": address}) as client:
            with study.open("rb") as stream:
                answer = client.post("/api/v1/jobs", files={"files": (f"{number}.zip", stream)})
            return str(answer.raise_for_status().json()["id"])

    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        before = _peak_mib(process)
        with ThreadPoolExecutor(uploads + 1) as threads:
            looking = threads.submit(look)
            ids = list(threads.map(upload, range(uploads)))
            handed_in = time.monotonic() - begin
            while sum(client.get("/api/v1/jobs", params={"state": s}).json()["total"] for s in ENDED) < uploads:
                time.sleep(1)
            over.set()
            looking.result()
        jobs = client.get("/api/v1/jobs", params={"limit": 500}).json()["jobs"]
    states = {state: sum(job["state"] == state for job in jobs) for state in sorted({job["state"] for job in jobs})}
    return {
        "uploads": uploads,
        "study_mib": round(study.stat().st_size / 1024**2, 1),
        "lost": uploads - len({job["id"] for job in jobs} & set(ids)),
        "states": states,
        "verdicts": sorted({str(job["summary"].get("verdict")) for job in jobs}),
        "seconds_until_handed_in": round(handed_in, 1),
        "seconds_until_done": round(time.monotonic() - begin, 1),
        "answer_ms": {
            path: {"median": round(1000 * statistics.median(times)), "slowest": round(1000 * max(times))}
            for path, times in answers.items()
        },
        "server_grew_mib": round(_peak_mib(process) - before),
        "cores": len(os.sched_getaffinity(0)),
    }


def _peak_mib(process: int) -> float:
    """Peak memory of the server itself; workers are separate processes."""
    (line,) = (x for x in Path(f"/proc/{process}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Zip the study, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dicom/lung-pet-ct-dx-A0002")
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--json", type=Path, default=None, help="file to write as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = shutil.make_archive(f"{folder}/study", "zip", arguments.data / "dicom" / "lung-pet-ct-dx-A0002")
        found = json.dumps(measured(Path(study), arguments.uploads, Path(folder, "store")), indent=2)
    print(found)
    if arguments.json is not None:
        arguments.json.write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
