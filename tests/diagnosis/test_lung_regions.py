"""Sides, zones, lobes and the score on lungs of known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.lung_regions import LOBES, parts_of_slices, split_sides
from jcs_ct.diagnosis.measure import MeasureSettings
from jcs_ct.diagnosis.measured import Lesion, Measures
from jcs_ct.study.reader import read_study
from jcs_ct.study.volume import Geometry, Study
from tests import phantoms
from tests.diagnosis.measuring import measure_mask
from tests.diagnosis.test_measure import geometry, study_of
from tests.phantoms import ChestPhantom

Mask = NDArray[np.bool_]
RIGHT, LEFT = slice(8, 28), slice(36, 56)
"""Columns of box-shaped lungs of 20 x 20 pixels, which are 1 mm wide."""
ROWS = slice(10, 30)


def boxes(depth: int = 30) -> Mask:
    lungs = np.zeros((depth, 40, 64), bool)
    lungs[:, ROWS, RIGHT] = lungs[:, ROWS, LEFT] = True
    return lungs


def measured(
    lesions: Mask, lungs: Mask, where: Geometry | None, lobes: NDArray[np.uint8] | None = None
) -> tuple[tuple[Lesion, ...], Measures]:
    voxels: NDArray[np.generic] = np.zeros(lungs.shape, np.uint8 if where is None else np.int16)
    settings = MeasureSettings(minimum_volume_ml=0, minimum_voxels=0)
    return measure_mask(lesions, None, lungs, study_of(voxels, where), settings, lobes)[1:]


def test_lungs_are_told_apart_and_zones_are_thirds() -> None:
    lungs, lesions = boxes(), np.zeros((30, 40, 64), bool)
    lesions[0:10, 10:20, 8:18] = True  # right lower: 100 of 400 pixels on all of its slices
    lesions[12:17, 10:30, 36:46] = True  # left middle: half of five slices
    found, measures = measured(lesions, lungs, geometry(np.arange(30) * 2.0, (1.0, 1.0)))
    assert [(r.name, r.lung_volume_ml) for r in measures.lungs] == [("right", 24.0), ("left", 24.0)]
    assert [r.lesion_volume_ml for r in measures.lungs] == pytest.approx([2.0, 2.0])
    zones = {r.name: r for r in measures.zones}
    assert list(zones) == ["right lower", "right middle", "right upper", "left lower", "left middle", "left upper"]
    assert [zones[n].lung_volume_ml for n in zones] == pytest.approx([8.0] * 6)
    expected = {"right lower": 0.25, "left middle": 0.25}
    assert {n: zones[n].lesion_share for n in zones} == pytest.approx({n: expected.get(n, 0.0) for n in zones})
    assert [zones[n].lesion_count for n in zones] == [1, 0, 0, 0, 1, 0]
    assert [r.lesion_count for r in measures.lungs] == [1, 1]
    assert {lesion.zone for lesion in found} == {"right lower", "left middle"}
    assert [lesion.share_of_lung for lesion in found] == pytest.approx([1000 / 24000] * 2)


def test_zones_and_halves_follow_each_lungs_own_extent() -> None:
    lungs = boxes(40)
    lungs[:16, :, LEFT] = False  # the left lung is 24 slices high
    lesions = np.zeros_like(lungs)
    lesions[16:24, ROWS, LEFT] = True  # its lower third, wholly
    _, measures = measured(lesions, lungs, geometry(np.arange(40.0), (1.0, 1.0)))
    zones = {r.name: r for r in measures.zones}
    assert zones["left lower"].lesion_share == 1.0
    assert zones["left middle"].lesion_share == 0.0
    assert zones["left lower"].lung_volume_ml == pytest.approx(8 * 0.4)
    assert measures.severity is not None
    regions = {r.name: r for r in measures.severity.regions}
    assert regions["left lower half"].share == pytest.approx(8 / 12)
    assert regions["left lower half"].score == 4
    assert measures.severity.total == 4


def test_zones_lie_in_millimetres_where_slices_are_uneven_or_a_part_was_not_scanned() -> None:
    # 1 mm apart below 20 mm, 4 mm apart above: the lung is 60 mm high, a third of it 20 mm
    places = np.concatenate([np.arange(20) + 0.5, np.arange(10) * 4 + 22.0])
    zones = parts_of_slices(np.full(30, 400), geometry(places, (1.0, 1.0)), 3)
    assert zones.tolist() == [0] * 20 + [1] * 5 + [2] * 5
    # ten slices of 1 mm, nothing for 20 mm, ten more: the middle third was not scanned but for its rims
    gap = np.concatenate([np.arange(10.0), np.arange(10.0) + 29.0])
    lungs, lesions = boxes(20), np.zeros((20, 40, 64), bool)
    lesions[:5, ROWS, RIGHT] = True
    _, measures = measured(lesions, lungs, geometry(gap, (1.0, 1.0)))
    volumes = {r.name: r.lung_volume_ml for r in measures.zones}
    assert volumes["right lower"] == pytest.approx(10.25 * 0.4)  # the slice at the gap stands for 1.25 mm
    assert volumes["right middle"] == 0
    assert {r.name: r.lesion_share for r in measures.zones}["right middle"] is None
    assert {r.name: r.lesion_share for r in measures.zones}["right lower"] == pytest.approx(5 / 10.25)


def test_a_stray_pixel_does_not_stretch_a_lung() -> None:
    lungs = boxes(40)
    lungs[30:] = False
    lungs[39, 20, 20] = True
    assert parts_of_slices(lungs[:, :, RIGHT].sum((1, 2)), None, 3).tolist()[:30] == [0] * 10 + [1] * 10 + [2] * 10


def test_lungs_that_touch_are_cut_between_and_one_that_crosses_the_middle_stays_whole() -> None:
    lungs = boxes()
    lungs[5, 12:16, 28:36] = True  # touching in front
    lungs[9, 12:16, 30:36] = True  # the left lung reaches over the middle
    sides = np.asarray(split_sides(lungs))
    assert np.array_equal(sides[..., RIGHT] == 1, lungs[..., RIGHT])
    assert np.array_equal(sides[..., LEFT] == 2, lungs[..., LEFT])
    assert set(sides[5, 12:16, 28:36].ravel()) == {1, 2}
    assert (sides[9, 12:16, 30:36] == 2).all()


@pytest.mark.parametrize(("kept", "side"), [(RIGHT, 1), (LEFT, 2)])
def test_a_single_lung_is_on_the_side_of_the_picture_that_it_lies_on(kept: slice, side: int) -> None:
    lungs = np.zeros((10, 40, 64), bool)
    lungs[:, ROWS, kept] = True
    assert set(np.unique(np.asarray(split_sides(lungs)))) == {0, side}


def test_a_missing_lung_has_no_share_and_leaves_the_score_open() -> None:
    lungs = boxes()
    lungs[..., LEFT] = False
    _, measures = measured(np.zeros_like(lungs), lungs, geometry(np.arange(30.0), (1.0, 1.0)))
    assert [r.lesion_share for r in measures.lungs] == [0.0, None]
    assert measures.severity is not None
    assert measures.severity.total is None
    assert [r.score for r in measures.severity.regions] == [0, 0, 0, None, None]


def test_pictures_have_shares_and_a_score_but_neither_sides_nor_volumes() -> None:
    lungs, lesions = boxes(), np.zeros((30, 40, 64), bool)
    lesions[0:5, ROWS, RIGHT] = True  # half of a third, a third of a half
    (lesion,), measures = measured(lesions, lungs, None)
    assert lesion.zone == "picture left, first third"
    assert (lesion.long_axis_mm, lesion.pleural_distance_mm, lesion.hu_bands) == (None, None, None)
    assert [r.name for r in measures.lungs] == ["picture left", "picture right"]
    assert {r.lung_volume_ml for r in (*measures.lungs, *measures.zones)} == {None}
    assert measures.lungs[0].lesion_share == pytest.approx(1 / 6)
    assert measures.severity is not None
    assert measures.severity.total == 4  # 50 % of a third
    assert measures.severity.mirrored_total == 3  # 33 % of a half
    other_way, _ = measured(lesions[::-1], lungs, None)[1], None
    assert other_way.severity is not None
    assert other_way.severity.total == 4


def test_lobes_give_sides_and_score_where_they_are_known() -> None:
    lungs, lesions = boxes(), np.zeros((30, 40, 64), bool)
    lobes = np.zeros(lungs.shape, np.uint8)
    # A horizontal cut would not find these: the lower lobes lie behind the upper ones.
    lobes[:, 10:20, LEFT], lobes[:, 20:30, LEFT] = 1, 2
    lobes[:, 10:16, RIGHT], lobes[:, 16:20, RIGHT], lobes[:, 20:30, RIGHT] = 3, 4, 5
    lesions[:, 16:20, RIGHT] = True
    lesions[:8, 20:30, LEFT] = True
    found, measures = measured(lesions, lungs, geometry(np.arange(30.0), (1.0, 1.0)), lobes)
    assert [r.name for r in measures.lobes] == list(LOBES)
    assert [r.lesion_share for r in measures.lobes] == pytest.approx([0, 8 / 30, 0, 1, 0])
    assert {lesion.lobe for lesion in found} == {"right middle lobe", "left lower lobe"}
    assert measures.severity is not None
    assert measures.severity.basis == "lobes"
    assert [r.score for r in measures.severity.regions] == [0, 3, 0, 5, 0]
    assert measures.severity.total == 8


PHANTOM = ChestPhantom.infected(shape=(48, 96, 96), spacing=(4.0, 3.5, 3.5))


@pytest.fixture(params=["RAS", "LPI", "PSR", "feet last", "face down"])
def flipped(request: pytest.FixtureRequest, tmp_path: Path) -> Study:
    """The phantom as scanners and programs store it: axes exchanged and reversed, slices shuffled."""
    if request.param in ("RAS", "LPI", "PSR"):
        phantoms.write_nifti(tmp_path / "a.nii.gz", PHANTOM.hu, spacing=PHANTOM.spacing, axcodes=request.param)
        return read_study(tmp_path / "a.nii.gz")
    hu = PHANTOM.hu[::-1] if request.param == "feet last" else PHANTOM.hu[:, ::-1, ::-1]
    places = PHANTOM.positions[::-1] if request.param == "feet last" else PHANTOM.positions
    turned = (1, 0, 0, 0, 1, 0) if request.param == "feet last" else (-1, 0, 0, 0, -1, 0)
    phantoms.write_dicom_series(tmp_path / "d", hu, spacing=(3.5, 3.5), positions=places, orientation=turned)
    return read_study(tmp_path / "d")


def test_flipped_inputs_give_the_same_sides_and_zones(flipped: Study) -> None:
    voxels = flipped.voxels
    lesions = np.isin(voxels, (phantoms.GROUND_GLASS, phantoms.CONSOLIDATION))
    _, (first, second), measures = measure_mask(lesions, None, voxels == phantoms.LUNG, flipped)
    # left: ground glass around the middle of the lung; right: consolidation 25 mm below it
    assert (first.zone, second.zone) == ("left middle", "right middle")
    ellipsoid = 4 / 3 * np.pi / 1000
    expected = [ellipsoid * 15 * 16 * 16, ellipsoid * 22 * 20 * 20]
    assert [r.lesion_volume_ml for r in measures.lungs] == pytest.approx(expected, rel=0.02)
    assert [r.lung_volume_ml for r in measures.lungs] == pytest.approx([PHANTOM.lung_ml / 2] * 2, rel=0.02)
    zones = {r.name: r for r in measures.zones}
    # a ball cut at thirds of its height: 7/27 below, 13/27 between, 7/27 above
    volumes = [zones[f"left {third}"].lung_volume_ml for third in ("lower", "middle", "upper")]
    assert volumes == pytest.approx([PHANTOM.lung_ml / 2 * k / 27 for k in (7, 13, 7)], rel=0.03)
    lower = zones["right lower"].lesion_volume_ml
    assert lower is not None
    # what of the right opacity lies below a third of the lung: a cap 11.67 mm high of an ellipsoid with radius 15
    h = (-85 / 3 + 25 + 15) / 15
    assert lower == pytest.approx(expected[0] * h**2 * (3 - h) / 4, rel=0.1)
