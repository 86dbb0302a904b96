"""Cropped volumes keep every value, and memory only for bounding boxes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.cropped_volume import CroppedVolume, crop_of, marked_pixels, shown_slices


def patches() -> NDArray[np.uint16]:
    """Two slices that hold something, one of them up to the corner; two that hold nothing."""
    whole = np.zeros((4, 30, 40), np.uint16)
    whole[1, 5:9, 10:30] = 700
    whole[3, 0, 0] = whole[3, 29, 39] = 3
    return whole


def test_the_whole_and_its_slices_come_back() -> None:
    volume = CroppedVolume.of(patches())
    assert (volume.shape, len(volume)) == ((4, 30, 40), 4)
    assert volume.dtype == np.uint16
    assert np.array_equal(np.asarray(volume), patches())
    assert np.asarray(volume).dtype == np.uint16
    for z, expected in enumerate(patches()):
        assert np.array_equal(volume[z], expected)


def test_only_boxes_that_hold_something_are_kept() -> None:
    whole = patches()
    whole[3] = 0
    volume = CroppedVolume.of(whole)
    assert volume.nbytes == 2 * 4 * 20
    assert volume.shown() == [1]
    assert (volume.crop(0), volume.crop(2)) == (None, None)
    crop = volume.crop(1)
    assert crop is not None
    assert crop.place == (slice(5, 9), slice(10, 30))
    assert crop.values.base is None, "a view would keep the whole slice"


def test_arrays_and_cropped_volumes_tell_the_same() -> None:
    for volume in (patches(), CroppedVolume.of(patches())):
        assert shown_slices(volume) == [1, 3]
        assert marked_pixels(volume).tolist() == [0, 80, 0, 2]
        crop = crop_of(volume, 1)
        assert crop is not None
        assert crop.place == (slice(5, 9), slice(10, 30))
        assert (crop.values == 700).all()
        assert crop_of(volume, 0) is None
    assert np.array_equal(CroppedVolume.of(patches()).shadow(), patches().any(0))


def test_a_slice_is_replaced_as_a_whole_and_what_it_gave_is_not_it() -> None:
    volume = CroppedVolume.of(patches())
    volume[1][:] = 9
    assert np.array_equal(np.asarray(volume), patches())
    volume.put(1, np.full((2, 3), 4), (7, 8))
    assert marked_pixels(volume)[1] == 6
    assert (volume[1][7:9, 8:11] == 4).all()
    volume[1] = np.zeros((30, 40))
    assert volume.crop(1) is None


def test_a_volume_is_no_array_without_a_copy() -> None:
    with pytest.raises(ValueError, match="copy"):
        np.array(CroppedVolume.of(patches()), copy=False)
