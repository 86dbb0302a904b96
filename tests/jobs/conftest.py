"""Fixtures of the queue's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jcs_ct.jobs.queue import JobQueue
from tests.jobs.stores import REPOSITORY, quick


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    """An empty queue in `store` below the test's folder."""
    with JobQueue(tmp_path / "store", quick(tmp_path)) as opened:
        yield opened


@pytest.fixture
def _workers_find_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'src'}:{REPOSITORY}")
