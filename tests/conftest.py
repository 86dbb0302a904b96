"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import own_data
from tests.command_line import CommandLine

_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


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
