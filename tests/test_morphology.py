"""Morphology equals SciPy's and scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import convex_hull_image

from jcs_ct import morphology


@pytest.mark.parametrize("reach", [1, 2, 3, 6, 11])
@pytest.mark.parametrize("shape", [(40, 33), (3, 21, 40), (5, 4)])
def test_growing_and_shrinking_by_a_square(shape: tuple[int, ...], reach: int) -> None:
    random = np.random.default_rng(reach)
    square = np.ones((*[1] * (len(shape) - 2), 2 * reach + 1, 2 * reach + 1), bool)
    for share in (0.02, 0.5, 0.98):
        mask = random.random(shape) < share
        assert np.array_equal(morphology.dilated(mask, reach), ndimage.binary_dilation(mask, square))
        assert np.array_equal(morphology.eroded(mask, reach), ndimage.binary_erosion(mask, square))


def test_holes_are_filled() -> None:
    random = np.random.default_rng(0)
    for share in (0.3, 0.6, 0.8):
        mask = random.random((50, 41)) < share
        assert np.array_equal(morphology.filled(mask), ndimage.binary_fill_holes(mask))


def test_a_hull_is_that_of_scikit_image() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        shape = random.integers(3, 200, 2)
        mask = np.zeros(shape, bool)
        points = random.integers(3, 40)
        mask[random.integers(0, shape[0], points), random.integers(0, shape[1], points)] = True
        mask = ndimage.binary_dilation(mask, np.ones((3, 3), bool), iterations=int(random.integers(1, 9)))
        expected = convex_hull_image(mask, offset_coordinates=False)  # type: ignore[no-untyped-call]
        assert np.array_equal(morphology.convex_hull(mask), expected)


def test_a_hull_of_a_point_a_line_and_nothing() -> None:
    mask = np.zeros((7, 9), bool)
    assert not morphology.convex_hull(mask).any()
    mask[3, 4] = True
    assert np.array_equal(morphology.convex_hull(mask), mask)
    mask[3, 1] = True
    assert np.flatnonzero(morphology.convex_hull(mask).ravel()).tolist() == [28, 29, 30, 31]
    mask[5, 1] = True
    assert morphology.convex_hull(mask).sum() == 4 + 2 + 1
