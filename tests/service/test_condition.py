"""Health and readiness tell the truth: a full disk, a database that is stuck, workers that do not run."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from jcs_ct.jobs.folders import Folders
from tests.jobs.stores import quick
from tests.service.client import Running, Service


def becomes(service: Service, status: int, problem: str | None, limit_s: float = 60.0) -> None:
    """Readiness has this status and names this problem, and health names it, too; both as soon as it is so."""
    deadline = time.monotonic() + limit_s
    while True:
        ready, health = service.http.get("/ready"), service.http.get("/health")
        assert health.status_code == 200, "it lives"
        found = health.json()
        as_told = found["problem"] is None if problem is None else problem in (found["problem"] or "")
        if ready.status_code == status and as_told and (problem is None or problem in ready.json()["detail"]):
            assert found["status"] == ("ok" if problem is None else "degraded")
            return
        assert time.monotonic() < deadline, (ready.text, found)
        time.sleep(0.2)


def test_service_is_ready_when_a_worker_is(service: Service) -> None:
    becomes(service, 200, None)


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Running(tmp_path, quick(tmp_path, min_free_bytes=1000)) as service:
        becomes(service, 200, None)
        monkeypatch.setattr(Folders, "free_bytes", lambda folders: 999)
        becomes(service, 503, "disk is nearly full")
        monkeypatch.setattr(Folders, "free_bytes", lambda folders: 10**12)
        becomes(service, 200, None)


def test_stuck_database_is_told_and_reads_go_on(service: Service) -> None:
    becomes(service, 200, None)
    other = sqlite3.connect(service.store / "queue.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        becomes(service, 503, "database cannot be written")
        began = time.monotonic()
        assert service.http.get("/jobs").status_code == 200
        assert time.monotonic() - began < 5
    finally:
        other.execute("ROLLBACK")
        other.close()
    becomes(service, 200, None)


def test_workers_that_cannot_begin_are_told(tmp_path: Path) -> None:
    broken = {"log": str(tmp_path / "log"), "broken": "secret/weights.onnx is missing"}
    with Running(tmp_path, quick(tmp_path, task_settings=broken)) as service:
        becomes(service, 503, "not worked off")
        assert "secret" not in service.http.get("/health").text
