"""The phantoms' truth is true; other tests rely on it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.phantoms import CONSOLIDATION, GROUND_GLASS, LUNG, ChestPhantom


@pytest.mark.parametrize("spacing", [(5.0, 2.6, 2.6), (2.5, 2.6, 2.6)])
def test_volumes_by_formula_match_the_voxels(spacing: tuple[float, float, float]) -> None:
    phantom = ChestPhantom.infected(shape=(round(200 / spacing[0]), 128, 128), spacing=spacing)
    voxel_ml = float(np.prod(spacing)) / 1000
    assert phantom.lesion_mask.sum() * voxel_ml == pytest.approx(phantom.lesion_ml, rel=0.02)
    assert phantom.lung_mask.sum() * voxel_ml == pytest.approx(phantom.lung_ml, rel=0.01)


def test_lesions_lie_in_the_lungs_and_have_their_values() -> None:
    phantom = ChestPhantom.infected()
    assert not (phantom.lesion_mask & ~phantom.lung_mask).any()
    assert set(np.unique(phantom.hu[phantom.lesion_mask])) == {GROUND_GLASS, CONSOLIDATION}
    assert set(np.unique(phantom.hu[phantom.lung_mask & ~phantom.lesion_mask])) == {LUNG}


def test_phantom_is_the_same_every_time() -> None:
    first, second = (ChestPhantom.healthy(noise=20.0).hu for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not ChestPhantom.healthy().lesion_mask.any()
