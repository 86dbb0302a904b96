"""Fixtures that all tests share."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests import own_data
from tests.command_line import CommandLine

if "PYTEST_XDIST_WORKER" in os.environ:
    # One process a core: threads of OpenMP that wait for each other by spinning would take the others' time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONG_FILES = (
    "pacs/test_archive.py",
    "jobs/test_kills.py",
    "training/test_run.py",
    "test_reproduce.py",
    "batch/test_driver.py",
    "batch/test_cluster.py",
    "pacs/test_command.py",
    "service/test_browser*.py",
    "test_generalisation.py",
    "service/test_openapi.py",
    "service/test_load.py",
    "service/test_process.py",
    "batch/test_batch_command.py",
    "batch/test_diagnosing.py",
    "service/test_reviews.py",
    "jobs/test_corrections.py",
    "batch/test_dicomweb.py",
    "test_steps.py",
    "training/test_own_training.py",
    "diagnosis/test_geometry.py",
    "test_field_faults.py",
    "test_cli.py",
    "test_measure_command.py",
    "test_benchmarks.py",
    "test_composition_benchmark.py",
    "training/test_quantising.py",
    "training/test_export.py",
)
"""Test files that start browsers, archives or many processes, train, or diagnose whole studies. They run first, so that
no process of a parallel run is left alone with a long file; `make quick` leaves them out."""
_TESTS = Path(__file__).resolve().parent
_BESIDE_THE_REPOSITORY = _TESTS.parents[1] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of long files as slow, and put them first."""
    places = {item: _place(item.path) for item in items}
    for item, place in places.items():
        if place < len(LONG_FILES):
            item.add_marker(pytest.mark.slow)
    items.sort(key=places.__getitem__)


def _place(path: Path) -> int:
    """Index of the pattern in `LONG_FILES` that a file matches, and their number if none does."""
    name = path.relative_to(_TESTS).as_posix() if path.is_relative_to(_TESTS) else ""
    return next((k for k, pattern in enumerate(LONG_FILES) if fnmatch(name, pattern)), len(LONG_FILES))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CT data: JCS_SHARED_DATA, else ../shared/data seen from the root of the repository.

    Without it a test is skipped, but in CI, where it must be present, it fails.
    """
    folder = Path(os.environ.get("JCS_SHARED_DATA") or _BESIDE_THE_REPOSITORY)
    if not folder.is_dir():
        reason = f"no real CT data: {folder} does not exist; set JCS_SHARED_DATA to the folder that holds it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of own data: a table and pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    own_data.write_own(folder)
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of own data: a table and whole studies."""
    folder = tmp_path_factory.mktemp("studies")
    own_data.write_studies(folder)
    return folder


@pytest.fixture
def jcs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, without a process of its own: torch is loaded once for all that train."""
    return CommandLine(monkeypatch, capsys)
