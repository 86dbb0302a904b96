"""`jcs calibrate` and `jcs evaluate composition` on slices whose ground glass and consolidation are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jcs_ct.weights import load_manifest, write_fitted
from tests.command_line import CommandLine
from tests.opacity_networks import LOW, write_weights
from tests.phantoms import CONSOLIDATION, GROUND_GLASS, ChestPhantom, Lesion, to_grey

LEFT, RIGHT = (
    Lesion((0.0, 5.0, x), (30.0, 26.0, 26.0), hu) for x, hu in ((62.0, GROUND_GLASS), (-62.0, CONSOLIDATION))
)
BOTH, THIN = ChestPhantom(lesions=(LEFT, RIGHT)), ChestPhantom(lesions=(LEFT,))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Small networks that mark both densities, and no chest wall."""
    return write_weights(tmp_path / "weights", band=(LOW, 0.85))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`covid-semiseg` of phantoms: six slices to fit on, four to test on, one of which shows ground glass only."""
    for split, numbers in (("train", range(6)), ("test", range(6, 10))):
        for number in numbers:
            phantom, z = THIN if number == 9 else BOTH, 18 + number % 4
            _save(tmp_path / "covid-semiseg" / split, f"{number:03d}.png", phantom, z)
    return tmp_path


def _save(folder: Path, name: str, phantom: ChestPhantom, z: int) -> None:
    """A slice on its side, with both masks."""
    mask, hu = phantom.lesion_mask[z], phantom.hu[z]
    colours = np.zeros((*mask.shape, 3), np.uint8)
    colours[..., 0], colours[..., 1] = 128 * (mask & (hu < -300)), 128 * (mask & (hu >= -300))
    for kind, picture in (
        ("images", to_grey(hu)),
        ("masks", mask.astype(np.uint8) * 255),
        ("masks_ggo_consolidation", colours),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(np.rot90(picture, -1))).save(folder / kind / name)


def test_the_level_is_fitted_between_the_two_densities_and_kept(data: Path, weights: Path, jcs: CommandLine) -> None:
    ended = jcs("calibrate", "--weights", weights, "--data", data, "--only", "composition")
    assert ended.code == 0, ended.err
    level = load_manifest(weights)["segmenter"].consolidation_hu
    assert level is not None
    assert GROUND_GLASS < level < CONSOLIDATION
    assert ended.out.startswith(f"consolidation above {level:g} HU; cross-validated Dice: ground glass 0.9")
    assert ended.out.strip().endswith("fitted on covid-semiseg, splits train and val, 6 slices")


def test_dice_is_told_with_and_without_images_that_show_no_consolidation(
    data: Path, weights: Path, jcs: CommandLine
) -> None:
    write_fitted(weights, "segmenter", "consolidation_hu", -300.0, "nothing")
    ended = jcs("evaluate", "composition", "--data", data, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    (trial,) = json.loads(ended.out)
    figures = trial["figures"]
    assert trial["protocol"] == "split test, 4 slices, consolidation above -300 HU"
    assert (figures["slices_with_ground_glass"], figures["slices_with_consolidation"]) == (4, 3)
    dice = figures["consolidation_dice"]
    assert min(dice, figures["ground_glass_dice"]) > 0.85
    assert figures["consolidation_dice_all_images"] == pytest.approx((3 * dice + 1) / 4)  # none there, none marked
    assert figures["consolidation_dice_infnet"] == pytest.approx(3 * dice / 4)
    assert set(trial["intervals_95"]) == {"ground_glass_dice", "consolidation_dice"}


def test_weights_without_a_level_are_refused(data: Path, weights: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "composition", "--data", data, "--weights", weights)
    assert ended.code == 2
    assert "jcs calibrate --only composition" in ended.err


def test_slices_without_masks_of_the_kinds_are_refused(data: Path, weights: Path, jcs: CommandLine) -> None:
    for path in (data / "covid-semiseg").glob("*/masks_ggo_consolidation/*"):
        path.unlink()
    ended = jcs("calibrate", "--weights", weights, "--data", data, "--only", "composition")
    assert ended.code == 2
    assert "expected them in masks_ggo_consolidation" in ended.err
