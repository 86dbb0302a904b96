"""Thresholds of intervals: of slices that are not for testing, by what other segmenters say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from experiments.fit_intervals import COVERAGE, thresholds
from experiments.reproduction.runs import HeldOutSlice
from numpy.typing import NDArray

from jcs_ct.datasets.normalised import NormalisedSlice
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.preprocessing import Box

CHOSEN = [Path(f"{number}.png") for number in range(20)]


def outlined(path: Path, level: int) -> tuple[NDArray[np.uint8], HeldOutSlice]:
    """A slice on which a reader marks what lies above a level of the probability."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    truth = values > level
    record = SliceRecord("covid-19-ct100", path, "test", True, path.stem)
    normal = NormalisedSlice(values, truth, truth, Box(0, 16, 0, 16))
    return values, HeldOutSlice(record, normal, truth)


def test_nine_of_ten_readers_lie_between() -> None:
    levels = [*range(60, 180, 6)]
    found = thresholds([outlined(path, level) for path, level in zip(CHOSEN, levels, strict=True)], set(CHOSEN))
    inside = [found.levels[0] <= level <= found.levels[1] for level in levels]
    assert np.mean(inside) >= COVERAGE
    assert found.measured is None


def test_test_slices_choose_nothing() -> None:
    pairs = [outlined(path, 120) for path in CHOSEN]
    others = [outlined(Path(f"test{number}.png"), 5) for number in range(20)]
    assert thresholds([*pairs, *others], set(CHOSEN)) == thresholds(pairs, set(CHOSEN))


def test_too_few_slices_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 19"):
        thresholds([outlined(path, 120) for path in CHOSEN[:10]], set(CHOSEN))
