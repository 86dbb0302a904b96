"""Lesions and measures against phantoms whose volumes are known from formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.measure import MeasureSettings, slice_burden
from jcs_ct.study.volume import Geometry, InputKind, IntensityKind, Study
from tests.diagnosis.measuring import measure_mask
from tests.phantoms import CONSOLIDATION, GROUND_GLASS, ChestPhantom

Mask = NDArray[np.bool_]


def geometry(
    places: NDArray[np.floating], spacing: tuple[float, float], origin: tuple[float, float] = (0, 0)
) -> Geometry:
    """Axial slices at `places` along z."""
    positions = np.stack([np.full(len(places), origin[0]), np.full(len(places), origin[1]), places], axis=1)
    return Geometry(positions.astype(np.float64), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), spacing, 1.0)


def study_of(voxels: NDArray[np.generic], where: Geometry | None) -> Study:
    intensity = IntensityKind.GRAY8 if voxels.dtype == np.uint8 else IntensityKind.HU
    kind = InputKind.IMAGES if where is None else InputKind.DICOM
    return Study(voxels, intensity, kind, tuple(str(k) for k in range(len(voxels))), "0" * 64, where)


def phantom_study(phantom: ChestPhantom) -> Study:
    return study_of(phantom.hu, geometry(np.array(phantom.positions), phantom.spacing[1:]))


def ball(places: NDArray[np.float64], centre: float, radius: float, side: int = 64) -> Mask:
    """(Z, side, side) of a ball, in pixels of 1 mm."""
    axis = np.arange(side) - side / 2 + 0.5
    squares = (places[:, None, None] - centre) ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return np.asarray(squares <= radius**2)


def test_phantom_lesions_are_found_with_their_volumes_and_hu() -> None:
    phantom = ChestPhantom.infected(shape=(100, 256, 256), spacing=(2.0, 1.3, 1.3))
    labels, lesions, measures = measure_mask(phantom.lesion_mask, None, phantom.lung_mask, phantom_study(phantom))
    expected = sorted(phantom.lesions, key=lambda lesion: -lesion.volume_ml)
    assert measures.lesion_count == len(lesions) == 2
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([k.volume_ml for k in expected], rel=0.02)
    assert [lesion.mean_hu for lesion in lesions] == [GROUND_GLASS, CONSOLIDATION]
    assert measures.lesion_volume_ml == pytest.approx(phantom.lesion_ml, rel=0.02)
    assert measures.lung_volume_ml == pytest.approx(phantom.lung_ml, rel=0.02)
    assert measures.lesion_share_of_lung == pytest.approx(phantom.lesion_ml / phantom.lung_ml, rel=0.02)
    assert labels.dtype == np.uint16
    assert np.array_equal(labels > 0, phantom.lesion_mask)
    for lesion in lesions:
        assert lesion.voxels == np.count_nonzero(labels == lesion.id)


def test_centroid_box_and_slices_of_a_lesion() -> None:
    mask = np.zeros((10, 20, 30), bool)
    mask[2:5, 4:9, 10:13] = True
    where = geometry(np.arange(10) * 2.0 - 100, (0.5, 0.8), origin=(-12.0, -7.0))
    study = study_of(np.zeros(mask.shape, np.int16), where)
    _, (lesion,), _ = measure_mask(mask, None, mask, study, MeasureSettings(minimum_volume_ml=0.03))
    assert lesion.bbox == (2, 4, 10, 4, 8, 12)
    assert lesion.slices == (2, 4)
    assert lesion.centroid_mm == pytest.approx((-12 + 11 * 0.8, -7 + 6 * 0.5, -94.0))
    assert lesion.area_mm2 == pytest.approx(15 * 0.4)
    assert lesion.volume_ml == pytest.approx(45 * 0.4 * 2 / 1000)


def test_centroid_agrees_with_geometry_when_slices_are_tilted() -> None:
    mask = np.zeros((8, 24, 24), bool)
    mask[3:6, 5:12, 9:14] = True
    tilt = np.deg2rad(20)
    across, down = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), -np.sin(tilt)])
    positions = np.arange(8)[:, None] * np.array([0.0, 0.0, 3.0]) + np.array([4.0, 5.0, 6.0])
    where = Geometry(positions, across, down, (0.7, 0.9))
    _, (lesion,), _ = measure_mask(mask, None, mask, study_of(np.zeros(mask.shape, np.int16), where))
    assert lesion.centroid_mm == pytest.approx(where.to_patient(np.array([[4.0, 8.0, 11.0]]))[0])


@pytest.mark.parametrize("radius", [12.0, 20.0])
def test_volume_with_uneven_slices_is_the_sum_of_areas_times_extents(radius: float) -> None:
    # 1 mm apart below, 1.4 mm above: count x thickness would be 20 % off
    places = np.concatenate([np.arange(-30, 0, 1.0), np.arange(0, 32, 1.4)])
    mask = ball(places, 0.0, radius)
    study = study_of(np.zeros(mask.shape, np.int16), geometry(places, (1.0, 1.0)))
    _, (lesion,), measures = measure_mask(mask, None, mask, study)
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.02)
    assert measures.lesion_share_of_lung == pytest.approx(1.0)
    assert lesion.centroid_mm is not None
    # a mean over voxels, unweighted, would be 0.9 mm too low
    assert lesion.centroid_mm[2] == pytest.approx(0.0, abs=0.15)


def test_no_lesion_reaches_across_a_gap_and_the_gap_has_no_volume() -> None:
    places = np.concatenate([np.arange(10.0), np.arange(10.0) + 30])
    mask = np.zeros((20, 32, 32), bool)
    mask[:, 8:24, 8:24] = True
    mask[:3] = False
    study = study_of(np.zeros(mask.shape, np.int16), geometry(places, (1.0, 1.0)))
    labels, lesions, measures = measure_mask(mask, None, mask, study)
    assert [lesion.slices for lesion in lesions] == [(10, 19), (3, 9)]
    assert set(np.unique(labels[10:])) == {0, 1}
    # a slice beside the gap stands for 0.75 mm of it at most
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([10.25 * 0.256, 7.25 * 0.256])
    assert measures.lesion_count == 2


def test_distances_up_to_the_gap_factor_still_join() -> None:
    places = np.array([0, 1, 2, 3.5, 4.5, 5.5])
    mask = np.ones((6, 8, 8), bool)
    study = study_of(np.zeros(mask.shape, np.int16), geometry(places, (1.0, 1.0)))
    assert len(measure_mask(mask, None, mask, study)[1]) == 1
    strict = MeasureSettings(gap_factor=1.2)
    assert len(measure_mask(mask, None, mask, study, strict)[1]) == 2


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((8, 16, 16), bool)
    mask[0:4, 0:6, 0:6] = True
    mask[4:8, 6:12, 6:12] = True
    assert len(measure_mask(mask, None, mask, study_of(np.zeros(mask.shape, np.uint8), None))[1]) == 1


def test_without_geometry_nothing_is_in_millimetres_and_without_hu_nothing_in_hu() -> None:
    mask = np.zeros((6, 40, 40), bool)
    mask[1:4, 10:20, 10:20] = True
    lung = np.zeros_like(mask)
    lung[:, 5:35, 5:35] = True
    study = study_of(np.full(mask.shape, 90, np.uint8), None)
    labels, (lesion,), measures = measure_mask(mask, None, lung, study)
    assert lesion.volume_ml is None
    assert lesion.area_mm2 is None
    assert lesion.centroid_mm is None
    assert lesion.mean_hu is None
    assert lesion.mean_probability is None
    assert lesion.voxels == 300
    assert measures.lesion_volume_ml is None
    assert measures.lung_volume_ml is None
    assert measures.lesion_share_of_lung == pytest.approx(300 / (6 * 900))
    burden = slice_burden(labels, lung, study)
    assert [one.area_mm2 for one in burden] == [None] * 6
    assert [one.share for one in burden] == pytest.approx([0, 1 / 9, 1 / 9, 1 / 9, 0, 0])


def test_single_slice_without_thickness_has_an_area_but_no_volume() -> None:
    mask = np.zeros((1, 32, 32), bool)
    mask[0, 4:14, 4:14] = True
    where = geometry(np.array([5.0]), (0.5, 0.5))
    study = study_of(np.full(mask.shape, -500, np.int16), replace(where, slice_thickness=None))
    _, (lesion,), measures = measure_mask(mask, None, np.ones_like(mask), study)
    assert lesion.area_mm2 == pytest.approx(25.0)
    assert lesion.volume_ml is None
    assert lesion.mean_hu == pytest.approx(-500.0)
    assert measures.lung_volume_ml is None
    assert measures.lesion_share_of_lung == pytest.approx(100 / 1024)


def test_too_small_components_are_in_neither_labels_nor_totals() -> None:
    mask = np.zeros((10, 32, 32), bool)
    mask[2:7, 2:12, 2:12] = True  # 0.5 mL
    mask[8, 20:27, 20:27] = True  # 0.049 mL
    mask[1, 20:25, 20:30] = True  # 0.05 mL, the minimum itself
    study = study_of(np.zeros(mask.shape, np.int16), geometry(np.arange(10.0), (1.0, 1.0)))
    labels, lesions, measures = measure_mask(mask, None, np.zeros_like(mask), study)
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([0.5, 0.05])
    assert not labels[8].any()
    assert measures.lesion_volume_ml == pytest.approx(0.55)
    assert measures.lung_volume_ml == pytest.approx(0.55), "lesions are lung, what was dropped is not"


def test_without_geometry_the_minimum_counts_voxels() -> None:
    mask = np.zeros((2, 32, 32), bool)
    mask[0, :4, :5] = True  # 20
    mask[0, 20:21, 10:29] = True  # 19
    _, lesions, _ = measure_mask(mask, None, mask, study_of(np.zeros(mask.shape, np.uint8), None))
    assert [lesion.voxels for lesion in lesions] == [20]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8])
def test_mean_probability_is_between_0_and_1_for_floats_and_bytes(dtype: type) -> None:
    mask = np.zeros((3, 16, 16), bool)
    mask[:, 4:8, 4:8] = True
    probability: NDArray[Any] = np.where(mask, 0.8 if dtype is not np.uint8 else 204, 0).astype(dtype)
    study = study_of(np.zeros(mask.shape, np.uint8), None)
    _, (lesion,), _ = measure_mask(mask, probability, mask, study)
    assert lesion.mean_probability == pytest.approx(0.8, abs=1e-3)


def test_empty_mask_and_empty_lung() -> None:
    empty = np.zeros((4, 16, 16), bool)
    study = study_of(np.zeros(empty.shape, np.int16), geometry(np.arange(4.0), (1.0, 1.0)))
    labels, lesions, measures = measure_mask(empty, None, empty, study)
    assert not labels.any()
    assert lesions == ()
    assert measures.lesion_volume_ml == 0
    assert measures.lesion_share_of_lung is None
    assert [one.share for one in slice_burden(labels, empty, study)] == [None] * 4


def test_many_lesions_are_numbered_by_volume() -> None:
    mask = np.zeros((40, 64, 64), bool)
    sizes = [3, 7, 5, 4, 6]
    for k, size in enumerate(sizes):
        mask[k * 8 : k * 8 + size, :size, :size] = True
    study = study_of(np.zeros(mask.shape, np.int16), geometry(np.arange(40.0), (1.0, 2.0)))
    labels, lesions, _ = measure_mask(mask, None, mask, study)
    assert [lesion.id for lesion in lesions] == [1, 2, 3, 4, 5]
    assert [lesion.voxels for lesion in lesions] == [s**3 for s in sorted(sizes, reverse=True)]
    assert [int(labels[k * 8, 0, 0]) for k in range(5)] == [5, 1, 3, 4, 2]


def test_shapes_must_fit() -> None:
    study = study_of(np.zeros((4, 8, 8), np.uint8), None)
    with pytest.raises(ValueError, match="does not fit"):
        measure_mask(np.zeros((4, 8, 9), bool), None, np.zeros((4, 8, 9), bool), study)


@pytest.mark.parametrize("options", [{"minimum_voxels": -1}, {"gap_factor": 0.5}])
def test_senseless_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|at least 1"):
        MeasureSettings(**options)  # type: ignore[arg-type]
