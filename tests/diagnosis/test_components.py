"""Components numbered slab by slab, against all of them numbered at once."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis import components
from jcs_ct.diagnosis.components import connected_components


def noise(share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(3).random((23, 17, 19)) < share


@pytest.mark.parametrize("slab", [1, 2, 5, 100])
@pytest.mark.parametrize("share", [0.01, 0.03, 0.05, 0.2])  # from single voxels to one piece
@pytest.mark.parametrize("cropped", [False, True])
def test_slabs_are_joined_to_the_components_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, slab: int, share: float, cropped: bool
) -> None:
    monkeypatch.setattr(components, "_SLAB", slab)
    mask = noise(share)
    mask[11] = False  # a slab, or a part of one, that holds nothing
    expected = cc3d.connected_components(mask, connectivity=26)
    found = connected_components(CroppedVolume.of(mask) if cropped else mask, [(0, len(mask))])
    assert found.count == expected.max()
    every = np.arange(found.count + 1, dtype=np.uint16)
    assert np.array_equal(np.asarray(found.numbered(every)), expected)
    weights = np.linspace(0.5, 2, len(mask))
    sizes = [(weights[:, None, None] * (expected == k)).sum() for k in range(1, found.count + 1)]
    assert found.sizes(weights)[1:] == pytest.approx(sizes)


def test_nothing_is_joined_across_the_bounds_of_a_block() -> None:
    found = connected_components(np.ones((6, 4, 5), bool), [(0, 2), (2, 6)])
    labels = np.asarray(found.numbered(np.arange(3, dtype=np.uint16)))
    assert labels[:, 0, 0].tolist() == [1, 1, 2, 2, 2, 2]


def test_an_empty_mask_has_no_components() -> None:
    found = connected_components(np.zeros((3, 4, 5), bool), [(0, 3)])
    assert found.count == 0
    assert not found.numbered(np.zeros(1, np.uint16)).shown()
