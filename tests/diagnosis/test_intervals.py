"""Intervals of volumes against probabilities drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.intervals import with_intervals
from jcs_ct.diagnosis.measure import find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Interval, Measured
from jcs_ct.evaluation.conformal import AreaThresholds
from jcs_ct.study.volume import Study
from tests.diagnosis.test_measure import geometry, study_of

THRESHOLDS = AreaThresholds(50 / 255, 200 / 255, 0.9)
CORE, SURE, HALO = 250, 150, 80
"""Above the upper threshold, above a half only, above the lower one only."""
Bytes = NDArray[np.uint8]


def study_like(probability: Bytes, places: NDArray[np.floating] | None = None) -> Study:
    where = geometry(np.arange(len(probability)) * 1.0 if places is None else places, (1.0, 1.0))
    return study_of(np.full(probability.shape, -500, np.int16), where)


def measured(
    probability: Bytes, study: Study | None = None, lungs: NDArray[np.bool_] | None = None, given: bool = False
) -> Measured:
    study = study or study_like(probability)
    whole = np.ones(probability.shape, bool) if lungs is None else lungs
    mask = probability > 127
    if given:
        mask &= whole
    plain = measure_lesions(find_lesions(mask, study), probability, whole, study)
    return with_intervals(plain, probability, THRESHOLDS, study, whole if given else None)


def ends(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def nested(size: int = 32) -> Bytes:
    """A core of 4³ in a cube of 8³ in a halo of 12³."""
    probability = np.zeros((size, size, size), np.uint8)
    probability[4:16, 4:16, 4:16] = HALO
    probability[6:14, 6:14, 6:14] = SURE
    probability[8:12, 8:12, 8:12] = CORE
    return probability


def test_nested_cubes_are_the_interval() -> None:
    found = measured(nested())
    (lesion,) = found.lesions
    assert lesion.voxels == 8**3
    assert lesion.voxels_interval == Interval(4**3, 12**3)
    assert ends(lesion.volume_interval_ml) == pytest.approx((0.064, 1.728))
    assert found.measures.lesion_volume_interval_ml == lesion.volume_interval_ml
    assert ends(found.measures.lesion_share_interval) == pytest.approx(((4 / 32) ** 3, (12 / 32) ** 3))


def test_what_hangs_together_with_no_opacity_counts_in_the_total_only() -> None:
    probability = nested()
    probability[20:24, 20:24, 20:24] = HALO
    found = measured(probability)
    assert found.lesions[0].voxels_interval == Interval(4**3, 12**3)
    assert ends(found.measures.lesion_volume_interval_ml) == pytest.approx((0.064, 1.728 + 0.064))


def test_a_halo_that_two_opacities_share_goes_to_the_nearest_in_its_plane() -> None:
    probability = np.zeros((8, 24, 40), np.uint8)
    probability[1:7, 8:16, 4:36] = HALO
    probability[1:7, 8:16, 4:10] = CORE  # 6 columns, then 20 of halo
    probability[1:7, 8:16, 30:36] = CORE
    left, right = measured(probability).lesions
    assert left.voxels_interval == right.voxels_interval == Interval(6 * 8 * 6, 6 * 8 * 16)


def test_a_bridge_over_slices_goes_to_the_nearest_slice() -> None:
    probability = np.zeros((30, 16, 16), np.uint8)
    probability[2:28, 4:12, 4:12] = HALO
    probability[2:8, 4:12, 4:12] = CORE  # slices 8 to 17 go here...
    probability[18:28, 4:12, 4:12] = CORE
    found = measured(probability)
    large, small = found.lesions
    assert large.slices == (18, 27)
    assert large.voxels_interval == Interval(10 * 64, 15 * 64)
    assert small.voxels_interval == Interval(6 * 64, 11 * 64)


def test_nothing_is_shared_across_a_gap() -> None:
    places = np.concatenate([np.arange(8.0), np.arange(8.0) + 40])
    probability = np.zeros((16, 16, 16), np.uint8)
    probability[4:12, 4:12, 4:12] = HALO
    probability[4:8, 4:12, 4:12] = SURE
    found = measured(probability, study_like(probability, places))
    (lesion,) = found.lesions
    assert lesion.voxels_interval == Interval(0, 4 * 64)
    total = found.measures.lesion_volume_interval_ml
    assert total is not None
    assert lesion.volume_interval_ml is not None
    assert total.high > 1.9 * lesion.volume_interval_ml.high


def test_volumes_weigh_slices_with_their_extents() -> None:
    places = np.concatenate([np.arange(8.0), 8.4 + 1.4 * np.arange(8)])
    probability = np.zeros((16, 16, 16), np.uint8)
    probability[2:14, 4:12, 4:12] = CORE
    probability[2:14, 2:14, 2:4] = HALO
    study = study_like(probability, places)
    assert study.geometry is not None
    (lesion,) = measured(probability, study).lesions
    mm = float(study.geometry.slice_extents[2:14].sum())
    assert lesion.volume_ml == pytest.approx(64 * mm / 1000)
    assert ends(lesion.volume_interval_ml) == pytest.approx((64 * mm / 1000, 88 * mm / 1000))


def test_without_spacing_there_are_voxels_and_shares_but_no_volumes() -> None:
    probability = nested()
    found = measured(probability, study_of(np.full(probability.shape, 90, np.uint8), None))
    assert found.lesions[0].voxels_interval == Interval(4**3, 12**3)
    assert found.lesions[0].volume_interval_ml is None
    assert found.measures.lesion_volume_interval_ml is None
    assert found.measures.lesion_share_interval is not None


def test_outside_of_given_lungs_nothing_counts() -> None:
    lungs = np.zeros((32, 32, 32), bool)
    lungs[:, :, :10] = True
    found = measured(nested(), lungs=lungs, given=True)
    assert found.lesions[0].voxels_interval == Interval(4 * 4 * 2, 12 * 12 * 6)
    share = found.measures.lesion_share_interval
    assert ends(share) == pytest.approx((32 / (32 * 32 * 10), 864 / (32 * 32 * 10)))


def test_what_reaches_beyond_found_lungs_is_lung_as_well() -> None:
    lungs = np.zeros((32, 32, 32), bool)
    lungs[6:14, 6:14, 6:14] = True
    found = measured(nested(), lungs=lungs)
    assert ends(found.measures.lesion_share_interval) == pytest.approx((64 / 512, 1.0))


def test_intervals_hold_the_measure_whatever_the_probability() -> None:
    random = np.random.default_rng(0)
    blocks = random.choice([0, HALO, SURE, CORE], (10, 8, 8), p=[0.8, 0.13, 0.04, 0.03])
    probability = np.kron(blocks, np.ones((2, 5, 5))).astype(np.uint8)
    found = measured(probability)
    assert len(found.lesions) > 3
    for lesion in found.lesions:
        assert lesion.voxels_interval is not None
        assert lesion.voxels_interval.low <= lesion.voxels <= lesion.voxels_interval.high
    total = found.measures.lesion_volume_interval_ml
    assert total is not None
    assert found.measures.lesion_volume_ml is not None
    assert total.low <= found.measures.lesion_volume_ml <= total.high
    assert total.high == pytest.approx((probability > 50).sum() / 1000)
    assert sum(one.voxels_interval.high for one in found.lesions if one.voxels_interval) <= (probability > 50).sum()


def test_no_opacity_has_an_interval_that_begins_at_nothing() -> None:
    found = measured(np.zeros((4, 16, 16), np.uint8))
    assert found.lesions == ()
    assert found.measures.lesion_volume_interval_ml == Interval(0, 0)
