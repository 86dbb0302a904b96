"""Opacities of two known densities: which part is consolidated, and what share that is."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.diagnosis.composition import dense_parts
from jcs_ct.diagnosis.measure import find_lesions, measure_lesions
from jcs_ct.preprocessing import window_hu
from tests.diagnosis.test_measure import geometry, study_of
from tests.phantoms import BODY, CONSOLIDATION, GROUND_GLASS, LUNG

LEVEL = -400.0


def test_the_denser_half_of_an_opacity_is_consolidated() -> None:
    opacity = np.zeros((40, 60), bool)
    opacity[10:30, 10:50] = True
    hu = np.where(opacity, GROUND_GLASS, LUNG)
    hu[10:30, 30:50] = CONSOLIDATION
    dense = dense_parts(window_hu(hu), opacity, LEVEL) & opacity
    expected = np.zeros_like(opacity)
    expected[10:30, 30:50] = True
    edge = np.zeros_like(opacity)
    edge[:, 28:32] = True  # neighbourhoods there hold both
    assert np.array_equal(dense & ~edge, expected & ~edge)


def test_what_lies_beside_an_opacity_has_no_say() -> None:
    opacity = np.zeros((40, 40), bool)
    opacity[10:30, 18:22] = True
    for density, beside, expected in ((GROUND_GLASS, BODY, False), (CONSOLIDATION, LUNG, True)):
        dense = dense_parts(window_hu(np.where(opacity, density, beside)), opacity, LEVEL)
        assert (dense[opacity] == expected).all()


def test_single_dense_pixels_are_noise() -> None:
    opacity = np.ones((30, 30), bool)
    hu = np.full(opacity.shape, GROUND_GLASS)
    hu[15, 15] = CONSOLIDATION
    assert not dense_parts(window_hu(hu), opacity, LEVEL).any()


def test_nothing_is_consolidated_where_there_is_no_opacity() -> None:
    assert not dense_parts(np.full((20, 20), 255, np.uint8), np.zeros((20, 20), bool), LEVEL).any()


def test_shares_weigh_each_slice_with_what_it_stands_for() -> None:
    mask = np.zeros((3, 40, 40), bool)
    mask[:, 5:15, 5:15] = mask[0, 25:35, 25:35] = True
    dense = np.zeros_like(mask)
    dense[0, 5:15, 5:15] = True  # a slice of 1 mm; the others stand for 1.5 and 1.75
    dense[2, :, 20:] = True  # outside of any opacity
    study = study_of(np.full(mask.shape, LUNG, np.int16), geometry(np.array([0.0, 1.0, 3.0]), (1.0, 1.0)))
    found = measure_lesions(find_lesions(mask, study), None, mask, study, None, dense)
    lesions, measures = found.lesions, found.measures
    assert [lesion.consolidation_share for lesion in lesions] == pytest.approx([1 / 4.25, 0])
    assert measures.consolidation_share == pytest.approx(1 / 5.25)
    assert [lung.consolidation_share for lung in measures.lungs] == pytest.approx([1 / 4.25, 0])
    assert {zone.name: zone.consolidation_share for zone in measures.zones}["right lower"] == pytest.approx(1)


def test_without_a_mask_of_it_consolidation_is_not_known() -> None:
    mask = np.zeros((3, 40, 40), bool)
    mask[:, 5:15, 5:15] = True
    study = study_of(np.full(mask.shape, LUNG, np.int16), geometry(np.arange(3.0), (1.0, 1.0)))
    found = measure_lesions(find_lesions(mask, study), None, mask, study)
    (lesion,), measures = found.lesions, found.measures
    assert (lesion.consolidation_share, measures.consolidation_share) == (None, None)
    assert {region.consolidation_share for region in (*measures.lungs, *measures.zones)} == {None}
