"""Fixtures of the service's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.stores import REPOSITORY, quick
from tests.service.client import Running, Service
from tests.service.phantom_task import TASK


@pytest.fixture(autouse=True)
def _workers_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'src'}:{REPOSITORY}")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with the stand-in below it, that answers at a port."""
    with Running(tmp_path, quick(tmp_path)) as running:
        yield running


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same for all tests of a module, which leave no study in it."""
    folder = tmp_path_factory.mktemp("standing")
    with Running(folder, quick(folder), requests_per_s=1000.0) as running:
        yield running


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that reads studies of the phantom."""
    folder = tmp_path_factory.mktemp("phantoms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{REPOSITORY / 'src'}:{REPOSITORY}")
        settings = quick(folder, task=TASK, task_settings={}, lease_s=60.0)
        with Running(folder, settings) as running:
            yield running
