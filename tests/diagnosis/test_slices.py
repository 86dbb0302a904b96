"""From a study to what networks see, and back to the grid of the input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jcs_ct.diagnosis.slices import both_lungs, find_lung_slices, lesion_region
from jcs_ct.normalization import inside_mask, normalized_images, turned_upright
from jcs_ct.notices import notice
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import SourceGrid, Study
from tests.diagnosis.test_measure import geometry, phantom_study, study_of
from tests.phantoms import ChestPhantom, to_grey

SIZE = (160, 208)
PHANTOM = ChestPhantom.infected()


def grey_study(turns: int = 0) -> Study:
    """Pictures without geometry, turned counter-clockwise by quarters."""
    return study_of(np.ascontiguousarray(np.rot90(to_grey(PHANTOM.hu), turns, (1, 2))), None)


def padded_study() -> Study:
    """Every second picture is smaller; around it lies padding that looks like lung."""
    extents = np.array([[0, 128, 0, 128] if k % 2 == 0 else [14, 114, 9, 119] for k in range(40)])
    study = replace(grey_study(), extents=extents)
    inside = inside_mask(study)
    assert inside is not None
    return replace(study, voxels=np.where(inside, study.voxels, 80).astype(np.uint8))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (False, True, True)])
def test_a_turned_study_still_leads_back_to_the_stored_array(
    axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    stored = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(np.uint8)
    grid = SourceGrid(axes, flips)
    study = replace(study_of(grid.to_canonical(stored).astype(np.uint8), None), grid=grid)
    turned = turned_upright(study)
    np.testing.assert_array_equal(turned.voxels, np.rot90(study.voxels, 1, (1, 2)))
    np.testing.assert_array_equal(turned.grid.to_stored(turned.voxels), stored)
    np.testing.assert_array_equal(turned.grid.to_canonical(stored), turned.voxels)


def test_own_pixels_turn_with_the_study() -> None:
    extents = np.array([[1, 4, 2, 6], [0, 5, 0, 3]])
    voxels = np.zeros((2, 5, 7), np.uint8)
    for k, (top, bottom, left, right) in enumerate(extents):
        voxels[k, top:bottom, left:right] = k + 1
    turned = turned_upright(replace(study_of(voxels, None), extents=extents))
    for k in range(2):
        own = turned.own_pixels(k)
        assert (turned.voxels[(k, *own)] == k + 1).all()
        assert (turned.voxels[k] == k + 1).sum() == turned.voxels[(k, *own)].size


@pytest.mark.parametrize("turns", [1, 3])
def test_pictures_on_their_side_are_turned_and_it_is_said(turns: int) -> None:
    slices = find_lung_slices(grey_study(turns), SIZE)
    assert slices is not None
    assert notice("quarter-turn") in slices.study.notices
    rows, columns = (np.flatnonzero(slices.lung_mask.shadow().any(axis)) for axis in (1, 0))
    assert np.ptp(columns) > np.ptp(rows)


def test_upright_pictures_are_left_alone() -> None:
    slices = find_lung_slices(grey_study(), SIZE)
    assert slices is not None
    assert slices.study.notices == ()


def test_a_study_that_states_its_orientation_is_never_turned() -> None:
    lying = np.ascontiguousarray(np.rot90(PHANTOM.hu, 1, (1, 2)))
    where = geometry(np.array(PHANTOM.positions), (2.6, 2.6))
    for study in (study_of(lying, where), replace(study_of(lying, None), plane="axial")):
        slices = find_lung_slices(study, SIZE)
        assert slices is not None
        assert slices.study is study


def test_slices_in_hu_come_to_the_one_form_and_to_the_networks_size() -> None:
    slices = find_lung_slices(phantom_study(PHANTOM), SIZE)
    assert slices is not None
    assert slices.crops.shape == slices.regions.shape == (len(slices.indices), *SIZE)
    areas = PHANTOM.lung_mask.sum((1, 2))
    assert set(np.flatnonzero(areas > 0.3 * areas.max())) <= set(slices.indices.tolist())
    assert (areas[slices.indices] > 0).all()
    assert slices.box.height / slices.box.width == pytest.approx(SIZE[0] / SIZE[1], rel=0.03)
    lungs = np.asarray(slices.lung_mask)
    overlap = (lungs & PHANTOM.lung_mask).sum() / (lungs | PHANTOM.lung_mask).sum()
    assert overlap > 0.9


def test_hu_and_grey_pictures_of_one_chest_look_alike() -> None:
    in_hu, in_grey = (
        normalized_images(phantom_study(PHANTOM)).astype(float),
        normalized_images(grey_study()).astype(float),
    )
    assert np.abs(in_hu - in_grey)[PHANTOM.lung_mask].mean() < 6


def test_a_patch_goes_back_to_its_place() -> None:
    slices = find_lung_slices(phantom_study(PHANTOM), SIZE)
    assert slices is not None
    k = int(np.flatnonzero(slices.indices == 20)[0])
    ground_glass = (slices.crops[k] > 85) & (slices.crops[k] < 105)
    back = slices.to_grid(ground_glass.astype(np.float32)) > 0.5
    truth = PHANTOM.lesion_mask[20]
    assert (back & truth).sum() / (back | truth).sum() > 0.75
    assert back.shape == truth.shape


def test_padding_is_blank_and_never_lung() -> None:
    study = padded_study()
    inside = inside_mask(study)
    assert inside is not None
    assert not normalized_images(study)[~inside].any()
    slices = find_lung_slices(study, SIZE)
    assert slices is not None
    assert not np.asarray(slices.lung_mask)[~inside].any()


def test_a_study_without_lungs_gives_none() -> None:
    body = np.where(PHANTOM.hu < -500, -1000, PHANTOM.hu).astype(np.int16)
    body[PHANTOM.lung_mask] = 40
    y, x = np.mgrid[:128, :128]
    body[:, (np.abs(x - 63.5) < 6) & (np.abs(y - 60) < 6)] = 40
    assert find_lung_slices(study_of(body, None), SIZE) is None


def test_opacities_can_be_anywhere_between_the_lungs_outlines() -> None:
    lungs = np.zeros((40, 60), bool)
    lungs[5:35, 5:25] = True
    lungs[15:25, 18:25] = False  # a consolidation at the inner border is not in the lung mask
    lungs[5:35, 35:55] = True
    region = lesion_region(lungs, Box(0, 40, 0, 60), (80, 120))
    assert region[30:50, 36:50].all()
    assert not region[:8].any()
    assert not lesion_region(np.zeros((40, 60), bool), Box(0, 40, 0, 60), (80, 120)).any()


def test_a_missing_lung_is_where_the_other_one_is_mirrored() -> None:
    lungs = np.zeros((20, 40), bool)
    lungs[5:15, 24:36] = True
    both = both_lungs(lungs, middle=20)
    assert both[5:15, 4:16].all()
    assert both.sum() == 2 * lungs.sum()
    lungs[8:10, 10:16] = True  # 12 of 120 pixels: there is a lung
    assert np.array_equal(both_lungs(lungs, middle=20), lungs)
