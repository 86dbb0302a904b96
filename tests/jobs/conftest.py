"""Fixtures of the queue's tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jcs_ct.jobs.queue import JobQueue
from tests.jobs.finished import FORMATS, Case, finished, write_study
from tests.jobs.stores import REPOSITORY, quick


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    """An empty queue in `store` below the test's folder."""
    with JobQueue(tmp_path / "store", quick(tmp_path)) as opened:
        yield opened


@pytest.fixture
def _workers_find_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'src'}:{REPOSITORY}")


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """Stores with one finished job each, by the kind of its study; not to be changed."""
    made: dict[str, tuple[Path, str]] = {}

    def store(kind: str) -> tuple[Path, str]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            with JobQueue(folder / "store", quick(folder)) as queue:
                made[kind] = folder / "store", finished(queue, write_study(kind, folder / "in"), FORMATS[kind])
        return made[kind]

    return store


@pytest.fixture
def case(request: pytest.FixtureRequest, stores: Callable[[str], tuple[Path, str]], tmp_path: Path) -> Iterator[Case]:
    """Of the kind that the test asks for; DICOM if it does not."""
    store, job = stores(getattr(request, "param", "dicom"))
    shutil.copytree(store, tmp_path / "store")
    with JobQueue(tmp_path / "store", quick(tmp_path)) as queue:
        yield Case(queue, job)
