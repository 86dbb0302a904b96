"""Which lung a voxel and a lesion belong to, and that the two lungs add up to the totals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jcs_ct.diagnosis.measure import measure_lesions
from jcs_ct.diagnosis.result import Side
from jcs_ct.diagnosis.sides import measure_sides, part_lungs
from jcs_ct.study.volume import Geometry, InputKind, IntensityKind, Study
from tests.phantoms import CONSOLIDATION_RIGHT, GROUND_GLASS_LEFT, ChestPhantom

PHANTOM = ChestPhantom.infected()


def study() -> Study:
    positions = np.stack([np.zeros(40), np.zeros(40), np.array(PHANTOM.positions)], axis=1)
    geometry = Geometry(positions, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (2.6, 2.6))
    hu = PHANTOM.hu
    return Study(hu, IntensityKind.HU, InputKind.DICOM, ("a",) * 40, "ab", geometry, plane="axial")


def test_each_lesion_lies_in_its_lung_and_the_lungs_add_up() -> None:
    labels, lesions, measures = measure_lesions(PHANTOM.lesion_mask, None, PHANTOM.lung_mask, study())
    sides, lesions, measures = measure_sides(labels, PHANTOM.lung_mask, lesions, measures, study())
    assert [lesion.side for lesion in lesions] == [Side.LEFT, Side.RIGHT]  # the larger one first
    right, left = measures.lungs
    assert (right.side, left.side) == (Side.RIGHT, Side.LEFT)
    assert right.lesion_volume_ml == pytest.approx(CONSOLIDATION_RIGHT.volume_ml, rel=0.05)
    assert left.lesion_volume_ml == pytest.approx(GROUND_GLASS_LEFT.volume_ml, rel=0.05)
    assert right.volume_ml is not None
    assert left.volume_ml is not None
    assert right.volume_ml + left.volume_ml == pytest.approx(measures.lung_volume_ml)
    assert right.volume_ml == pytest.approx(PHANTOM.lung_ml / 2, rel=0.03)
    assert sides is not None
    assert np.array_equal(sides > 0, PHANTOM.lung_mask | PHANTOM.lesion_mask)


def test_consolidation_that_the_lung_search_left_out_counts_for_its_side() -> None:
    aerated = PHANTOM.lung_mask & ~PHANTOM.lesion_mask
    labels, lesions, measures = measure_lesions(PHANTOM.lesion_mask, None, aerated, study())
    _, lesions, measures = measure_sides(labels, aerated, lesions, measures, study())
    assert [lesion.side for lesion in lesions] == [Side.LEFT, Side.RIGHT]
    assert sum(lung.lesion_volume_ml or 0 for lung in measures.lungs) == pytest.approx(measures.lesion_volume_ml)


def test_lungs_that_touch_are_cut_where_they_are_thinnest() -> None:
    lungs = np.zeros((3, 40, 60), bool)
    lungs[:, 5:35, 4:26] = lungs[:, 5:35, 32:56] = True
    lungs[1, 18:20, 26:32] = True  # a bridge of two rows
    sides = part_lungs(lungs)
    assert (sides[1, 5:35, 4:26] == 1).all()
    assert (sides[1, 5:35, 32:56] == 2).all()


def test_lung_that_bulges_over_the_midline_stays_one() -> None:
    lungs = np.zeros((5, 40, 60), bool)
    lungs[:, 5:35, 4:26] = lungs[:, 5:35, 34:56] = True
    lungs[2, 2:4, 28:56] = lungs[2, 4:6, 50:56] = True  # the left lung reaches over in front of the heart
    sides = part_lungs(lungs)
    assert set(np.unique(sides[2, 2:4, 28:56])) == {2}


def test_sides_are_not_told_where_the_input_does_not_state_them() -> None:
    labels, lesions, measures = measure_lesions(PHANTOM.lesion_mask, None, PHANTOM.lung_mask, study())
    unstated = replace(study(), plane=None)
    sides, lesions, measures = measure_sides(labels, PHANTOM.lung_mask, lesions, measures, unstated)
    assert sides is None
    assert measures.lungs == ()
    assert {lesion.side for lesion in lesions} == {None}
