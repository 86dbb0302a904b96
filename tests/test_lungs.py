"""Lungs of phantoms of known truth, and regions that only look like lung."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct import lungs, preprocessing
from tests.phantoms import AIR, CONSOLIDATION, COUCH, GROUND_GLASS, ChestPhantom, to_grey

Mask = NDArray[np.bool_]
SPACINGS = {"coarse": ((40, 128, 128), (5.0, 2.6, 2.6)), "fine": ((16, 320, 320), (12.0, 1.05, 1.05))}


def found_lungs(hu: NDArray[np.int16], inside: Mask | None = None) -> Mask:
    return lungs.find_lungs(preprocessing.window_hu(hu), inside)


def overlap(found: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize(("shape", "spacing"), SPACINGS.values(), ids=SPACINGS.keys())
@pytest.mark.parametrize("infected", [False, True])
def test_lungs_of_a_phantom_are_found(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], infected: bool
) -> None:
    make = ChestPhantom.infected if infected else ChestPhantom.healthy
    phantom = make(shape=shape, spacing=spacing, noise=20.0)
    found = found_lungs(phantom.hu)
    assert found.shape == phantom.shape
    assert overlap(found, phantom.lung_mask) > 0.9


def test_lungs_of_a_grey_phantom_are_found_under_a_lung_window() -> None:
    phantom = ChestPhantom.infected(noise=10.0)
    normal = preprocessing.normalize_grey(to_grey(phantom.hu), np.ones(phantom.shape, bool))
    assert overlap(lungs.find_lungs(normal), phantom.lung_mask) > 0.9


def test_ground_glass_inside_of_the_lung_belongs_to_it() -> None:
    phantom = ChestPhantom.infected()
    ground_glass = phantom.hu == GROUND_GLASS
    assert found_lungs(phantom.hu)[ground_glass].mean() > 0.95


def test_air_between_the_patient_and_a_curved_couch_is_not_lung() -> None:
    phantom = ChestPhantom.healthy(shape=(20, 192, 192), spacing=(8.0, 1.9, 1.9))
    hu = phantom.hu.copy()
    y = (np.arange(192) - 95.5)[:, None] * 1.9
    x = (np.arange(192) - 95.5)[None] * 1.9
    # The couch holds the body at both sides, so that the air beneath is closed in.
    beneath = np.broadcast_to((np.abs(x) < 120) & (y > 60) & (y < 128), hu.shape)
    hu[beneath & (hu == AIR)] = -990
    walls = (np.abs(np.abs(x) - 120) < 5) & (y > 40) & (y < 130)
    hu[:, walls & (hu[0] < -900)] = COUCH
    hu[np.broadcast_to((np.abs(x) < 122) & (y >= 118) & (y < 130), hu.shape)] = COUCH
    found = found_lungs(hu)
    assert overlap(found, phantom.lung_mask) > 0.9
    assert not found[beneath & (hu == -990)].any()


@pytest.mark.parametrize("outside", [-1024, 200])
def test_outside_of_a_round_field_of_view_is_not_lung(outside: int) -> None:
    phantom = ChestPhantom.healthy()
    hu = phantom.hu.copy()
    y, x = np.ogrid[-1:1:128j, -1:1:128j]
    corners = np.broadcast_to(x**2 + y**2 > 1, hu.shape)
    hu[corners] = outside
    found = found_lungs(hu)
    assert overlap(found, phantom.lung_mask) > 0.9
    assert not found[corners].any()


def test_lungs_of_a_grey_phantom_in_a_round_field_of_view_are_found() -> None:
    grey = to_grey(ChestPhantom.infected(noise=10.0).hu, (0.0, 3000.0))
    y, x = np.ogrid[-1:1:128j, -1:1:128j]
    corners = np.broadcast_to(x**2 + y**2 > 1, grey.shape)
    grey[corners] = 0
    found = lungs.find_lungs(preprocessing.normalize_grey(grey, np.ones(grey.shape, bool)))
    assert overlap(found, ChestPhantom.infected().lung_mask) > 0.85
    assert not found[corners].any()


def test_trachea_is_not_lung() -> None:
    phantom = ChestPhantom.healthy(shape=(40, 256, 256), spacing=(5.0, 1.3, 1.3))
    y, x = np.mgrid[:256, :256]
    trachea = (phantom.hu == AIR) & (np.abs(x - 127.5) < 10) & (np.abs(y - 120) < 12)
    assert trachea.sum() > 1000
    assert found_lungs(phantom.hu)[trachea].mean() < 0.2


def test_a_body_without_lungs_has_none() -> None:
    phantom = ChestPhantom.healthy()
    hu = np.where(phantom.lung_mask | (phantom.hu == AIR) & phantom.lung_mask.any(0), 40, phantom.hu).astype(np.int16)
    y, x = np.mgrid[:128, :128]
    hu[:, (np.abs(x - 63.5) < 6) & (np.abs(y - 60) < 6)] = 40  # the trachea as well
    found = found_lungs(hu)
    assert not found.any()
    assert not lungs.lung_slices(found).any()
    assert lungs.lung_box(found, preprocessing.window_hu(hu)) is None


def test_padding_is_never_lung() -> None:
    phantom = ChestPhantom.infected()
    inside = np.zeros(phantom.shape, bool)
    inside[::2] = True
    inside[1::2, 14:114, 9:119] = True
    hu = np.where(inside, phantom.hu, -850).astype(np.int16)  # what lies around looks like lung
    found = found_lungs(hu, inside)
    assert not found[~inside].any()
    assert overlap(found, phantom.lung_mask & inside) > 0.9


def test_slices_with_little_lung_are_not_lung_slices() -> None:
    phantom = ChestPhantom.healthy(shape=(60, 128, 128))
    areas = phantom.lung_mask.sum((1, 2))
    shown = lungs.lung_slices(phantom.lung_mask)
    assert not shown[areas == 0].any()
    assert shown[areas > 0.3 * areas.max()].all()
    assert np.diff(np.flatnonzero(shown)).max() == 1


def test_share_of_lung_is_of_the_slices_own_pixels() -> None:
    mask = np.zeros((5, 100, 100), bool)
    mask[:, :10, :15] = True  # 1.5 % of the array, 6 % of the picture in it
    inside = np.zeros_like(mask)
    inside[:, :50, :50] = True
    assert not lungs.lung_slices(mask).any()
    assert lungs.lung_slices(mask, inside).all()


def test_one_box_holds_the_lungs_of_all_slices() -> None:
    phantom = ChestPhantom.healthy()
    box = lungs.lung_box(phantom.lung_mask, preprocessing.window_hu(phantom.hu))
    assert box is not None
    rows, columns = np.flatnonzero(phantom.lung_mask.any((0, 2))), np.flatnonzero(phantom.lung_mask.any((0, 1)))
    assert (box.top, box.left, box.right) == (rows[0], columns[0], columns[-1] + 1)
    assert 0 <= box.bottom - (rows[-1] + 1) <= 2  # as far back as lungs reach in most bodies


@pytest.mark.parametrize("cropped", [False, True], ids=["whole body", "crop to the lungs"])
def test_the_box_holds_consolidation_at_the_back(cropped: bool) -> None:
    phantom = ChestPhantom.healthy(shape=(1, 128, 128))
    behind = phantom.lung_mask & (np.arange(128) >= 70)[:, None]
    normal = preprocessing.window_hu(np.where(behind, CONSOLIDATION, phantom.hu))
    if cropped:
        normal, behind = normal[:, 33:98, 16:112], behind[:, 33:98, 16:112]
    found = lungs.find_lungs(normal)
    assert not found[behind].any()
    box = lungs.lung_box(found, normal)
    assert box is not None
    box = preprocessing.network_box(box, (224, 288))
    rows = np.flatnonzero(behind.any((0, 2)))
    assert box.bottom > rows[-1]


@pytest.mark.parametrize(("turns", "expected"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_lungs_one_above_the_other_are_to_be_turned(turns: int, expected: int) -> None:
    mask = np.rot90(ChestPhantom.infected().lung_mask, turns, (1, 2))
    assert lungs.quarter_turns(mask) == expected


def test_nothing_is_turned_without_lungs() -> None:
    assert lungs.quarter_turns(np.zeros((3, 20, 20), bool)) == 0


class Dark:
    """In place of the lung network: all that is dark is lung."""

    input_size = (192, 192)

    def run(self, slices: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.float32], ...]]:
        dark = np.where(slices < preprocessing.AIR_THRESHOLD * 255, 1, -1).astype(np.float32)
        yield (np.stack([dark, dark], 1),)


@pytest.mark.parametrize("what", ["mattress", "stomach"])
def test_what_the_network_takes_for_lung_outside_the_body_or_full_of_gas_is_none(what: str) -> None:
    phantom = ChestPhantom.healthy(shape=(24, 192, 192), spacing=(8.0, 1.9, 1.9))
    hu, added = phantom.hu.copy(), np.zeros(phantom.shape, bool)
    if what == "mattress":
        added[:, 160:178, 30:162] = True
        added &= hu == AIR
        hu[added] = -850
    else:
        added[2:6, 85:105, 85:105] = True
        added &= ~phantom.lung_mask
        hu[added] = -990
    found = lungs.LungFinder(Dark())(preprocessing.window_hu(hu))  # type: ignore[arg-type]  # a stand-in
    assert overlap(found, phantom.lung_mask) > 0.9
    assert not (found & added).any()
