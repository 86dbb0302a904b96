"""A small data folder, prepared once, for everything that trains."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jcs_ct.training.files import RunPaths
from tests.mini_data import write_mini_data

INPUT_SIZE = (64, 80)


@pytest.fixture(scope="session")
def mini_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of phantoms."""
    return write_mini_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared slices, kept between tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def paths(mini_data: Path, cache: Path, tmp_path: Path) -> Iterator[RunPaths]:
    """Where a run reads and writes; checkpoints are large and do not outlive the test."""
    yield RunPaths(mini_data, tmp_path / "run", cache)
    for folder in tmp_path.glob("**/checkpoints"):
        shutil.rmtree(folder)
