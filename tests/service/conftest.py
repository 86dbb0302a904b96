"""Fixtures of the service's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.jobs.stores import REPOSITORY, quick
from tests.service.client import Running, Service, handed_in
from tests.service.phantom_task import TASK

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.service.browser import Visit


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


@pytest.fixture(scope="module")
def study(phantoms: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A DICOM study that tests only look at."""
    return str(handed_in(phantoms, "dicom", tmp_path_factory.mktemp("study"))["id"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. For a module: while it is open, nothing else in this thread may run an event loop."""
    from playwright.sync_api import sync_playwright

    from tests.service.browser import open_browser

    with sync_playwright() as playwright:
        opened = open_browser(playwright)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser, phantoms: Service, tmp_path: Path) -> Iterator[Visit]:
    """A user before the page of the service that reads studies of the phantom."""
    from tests.service.browser import shots_folder, visiting

    with visiting(browser, phantoms.address, shots_folder(tmp_path / "shots")) as opened:
        yield opened
