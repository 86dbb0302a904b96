"""Which opacities lie outside the lungs, on phantoms with a stomach and with lobes that are dense throughout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jcs_ct.diagnosis.given_masks import GivenMasks
from jcs_ct.diagnosis.outside_lungs import LeftOut, drop_outside_lungs, left_out
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.morphology import Mask
from tests.diagnosis.test_measure import geometry, study_of
from tests.noticed import codes, values_of
from tests.opacity_networks import INPUT_SIZE, LOW, write_weights
from tests.phantoms import CONSOLIDATION, ChestPhantom, Lesion, to_grey

STOMACH = Lesion((-55.0, -20.0, 0.0), (24.0, 22.0, 18.0), CONSOLIDATION)
"""Between the lungs at their bases, 9 mm from the nearest: within the hull of both."""
PNEUMONIA = Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0))
BOTH = ChestPhantom(lesions=(STOMACH, PNEUMONIA))
CHEST = ChestPhantom.healthy()
Z, Y, X = np.meshgrid(
    *((np.arange(n) - (n - 1) / 2) * step for n, step in zip(CHEST.shape, CHEST.spacing, strict=True)), indexing="ij"
)


@pytest.fixture(scope="module")
def diagnoser(tmp_path_factory: pytest.TempPathFactory) -> Diagnoser:
    """Marks ground glass and consolidation, but not the chest wall."""
    return Diagnoser(write_weights(tmp_path_factory.mktemp("weights"), band=(LOW, 0.85)), threads=1)


def diagnosed(diagnoser: Diagnoser, phantom: ChestPhantom, given: GivenMasks | None = None) -> Diagnosis:
    where = geometry(np.array(phantom.positions), phantom.spacing[1:])
    return diagnoser.run(study_of(phantom.hu, where), given=given)


def inside(mask: Mask, diagnosis: Diagnosis) -> int:
    """Voxels of a mask that are outlined."""
    assert diagnosis.lesion_labels is not None
    return int(np.count_nonzero(np.asarray(diagnosis.lesion_labels)[mask]))


def test_a_stomach_is_neither_opacity_nor_lung(diagnoser: Diagnoser) -> None:
    found = diagnosed(diagnoser, BOTH)
    stomach = ChestPhantom(lesions=(STOMACH,)).lesion_mask
    assert inside(stomach, found) == 0
    assert not np.asarray(found.lung_mask)[stomach].any()
    assert found.measures.lesion_volume_ml == pytest.approx(PNEUMONIA.volume_ml, rel=0.15)
    said = values_of(found.notices, "opacities-not-in-lungs")
    assert said["volume_ml"] == pytest.approx(STOMACH.volume_ml, rel=0.3)


def test_a_chest_without_one_loses_nothing(diagnoser: Diagnoser) -> None:
    found = diagnosed(diagnoser, ChestPhantom(lesions=(PNEUMONIA,)))
    assert found.measures.lesion_volume_ml == pytest.approx(PNEUMONIA.volume_ml, rel=0.15)
    assert "opacities-not-in-lungs" not in codes(found.notices)


def test_a_stomach_alone_makes_nobody_positive_nor_suspect(tmp_path: Path) -> None:
    """It is no evidence where both tasks decide."""
    evidence = {"margin": 0.0, "share": 1.5, "bias": -2.7}
    weights = write_weights(tmp_path, band=(LOW, 0.85), evidence=evidence)
    found = diagnosed(Diagnoser(weights, threads=1), ChestPhantom(lesions=(STOMACH,)))
    assert found.rule is not None
    assert found.rule.infected_slices == 0
    assert found.measures.lesion_volume_ml == 0


def test_pictures_are_told_a_share(diagnoser: Diagnoser) -> None:
    found = diagnoser.run(study_of(to_grey(BOTH.hu), None))
    assert inside(ChestPhantom(lesions=(STOMACH,)).lesion_mask, found) == 0
    expected = STOMACH.volume_ml / (STOMACH.volume_ml + PNEUMONIA.volume_ml)
    said = values_of(found.notices, "opacities-not-in-lungs-share")
    assert said["percent"] == pytest.approx(100 * expected, rel=0.3)


def test_what_the_user_says_is_lung_stays(diagnoser: Diagnoser) -> None:
    given = GivenMasks(lungs=BOTH.lung_mask | BOTH.lesion_mask)
    found = diagnosed(diagnoser, BOTH, given)
    stomach = ChestPhantom(lesions=(STOMACH,)).lesion_mask
    assert inside(stomach, found) > 0.6 * np.count_nonzero(stomach)


def lungs_with(dense: Mask) -> LungSlices:
    """Lung slices of the phantom with something dense in it."""
    where = geometry(np.array(CHEST.positions), CHEST.spacing[1:])
    found = find_lung_slices(study_of(np.where(dense, 0, CHEST.hu).astype(np.int16), where), INPUT_SIZE)
    assert found is not None
    return found


def kept(dense: Mask) -> float:
    """Share of what was marked on crops that stays; all that is dense is marked."""
    lungs = lungs_with(dense)
    patches = np.zeros(lungs.crops.shape, np.uint8)
    size, (height, width) = INPUT_SIZE, CHEST.shape[1:]
    for k, z in enumerate(lungs.indices):
        rows = np.clip(np.linspace(lungs.box.top, lungs.box.bottom - 1, size[0]).round(), 0, None).astype(int)
        columns = np.linspace(lungs.box.left, lungs.box.right - 1, size[1]).round().astype(int)
        seen = (rows[:, None] < height) & (columns[None] >= 0) & (columns[None] < width)
        plane = dense[z][np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))]
        patches[k] = np.where(seen & plane, 250, 0)
    before = np.count_nonzero(patches > 127)
    drop_outside_lungs(patches, lungs, 127.5)
    return np.count_nonzero(patches > 127) / before


def test_a_lung_that_is_dense_throughout_is_no_stomach() -> None:
    assert kept(CHEST.lung_mask & (X > 0) & (Z < 20)) == 1  # nearly all of the left lung


def test_both_lower_lobes_may_be_dense() -> None:
    assert kept(CHEST.lung_mask & (Y > 10)) == 1


def test_little_is_not_told() -> None:
    assert left_out(LeftOut(0.5, 0.9)) == ()
    assert left_out(LeftOut(0.005, None)) == ()
    assert codes(left_out(LeftOut(0.5, 1.1))) == ["opacities-not-in-lungs"]
