"""Speed as ratios within one run: a slow or busy machine slows both sides, so no seconds are compared.

Each bound is far from the measured ratio (two busy cores of an AMD EPYC with AVX-512 and VNNI; medians of pairs that
were measured one right after the other):

| what | measured | bound |
|---|---|---|
| classifier in fp32 against the default | 3.1 | 1.2 |
| segmenter in fp32 against the default | 2.8 | 1.2 |
| serial work against parallel work on two cores | 1.9 | 1.4 |
| a diagnosis of 30 slices on one core against a Gaussian filter of them | 3.0; with AVX2 and nothing newer 3.8 | 7.5 |
| 90 slices against 30, for each slice | 0.7 for 100 against 50 (docs/speed.md) | 1.3 |
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmarks.cases import write_series
from benchmarks.speed_sections.plan import timed
from scipy import ndimage

from jcs_ct import Diagnoser, read_study
from jcs_ct.cores import cores, parallel_map
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings, Precision

EXAMPLE = Path(__file__).parents[1] / "examples" / "lung-pet-ct-dx-A0002"
pytestmark = pytest.mark.slow


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int = 7) -> float:
    """Time of one over time of the other, median of pairs measured one right after the other."""
    one()
    other()
    return statistics.median(timed(one) / timed(other) for _ in range(rounds))


@pytest.fixture(scope="module")
def diagnoser() -> Diagnoser:
    return Diagnoser()


@pytest.fixture(scope="module")
def exact() -> Diagnoser:
    return Diagnoser(settings=DiagnoserSettings(precision=Precision.FP32))


def crops(diagnoser: Diagnoser, count: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, *diagnoser.segmenter.input_size), np.uint8)


def test_the_classifier_computes_faster_than_in_fp32(diagnoser: Diagnoser, exact: Diagnoser) -> None:
    images = crops(diagnoser, 8)
    assert ratio(lambda: exact.classify(images), lambda: diagnoser.classify(images)) > 1.2


def test_the_segmenter_computes_faster_than_in_fp32(diagnoser: Diagnoser, exact: Diagnoser) -> None:
    images = crops(diagnoser, 8)
    found = ratio(
        lambda: list(exact.segmenter.network.run(images)), lambda: list(diagnoser.segmenter.network.run(images))
    )
    assert found > 1.2


@pytest.mark.skipif(cores() < 2, reason="one core: nothing can run in parallel")
def test_slices_are_worked_on_in_parallel() -> None:
    def work(item: int) -> int:
        time.sleep(0.05)  # sleeping, because on busy cores two computing threads would gain nothing
        return item

    assert ratio(lambda: [work(item) for item in range(8)], lambda: parallel_map(work, range(8)), 3) > 1.4


def test_a_diagnosis_takes_no_longer_than_so_many_filters_of_its_study() -> None:
    # Both on one core, so that neither the number of cores nor other work on them matters. Without instructions for
    # eight-bit networks (VNNI) it is 9 to 10 filters, with the lung network as before it.
    study, diagnoser = read_study(EXAMPLE), Diagnoser(threads=1)
    voxels = study.voxels.astype(np.float32)
    assert ratio(lambda: diagnoser.run(study), lambda: ndimage.gaussian_filter(voxels, 4.0), 5) < 13


def test_slices_of_long_series_take_no_longer(diagnoser: Diagnoser, tmp_path: Path) -> None:
    paths = sorted(EXAMPLE.glob("*.dcm"))
    write_series(paths, tmp_path / "30")
    write_series([path for path in paths for _ in range(3)], tmp_path / "90")

    def diagnosed(name: str) -> Callable[[], object]:
        return lambda: diagnoser.run(read_study(tmp_path / name))

    assert ratio(diagnosed("90"), diagnosed("30"), 3) / 3 < 1.3
