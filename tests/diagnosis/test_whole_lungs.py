"""The whole lungs on phantoms whose consolidation is as dense as the chest wall that it lies against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.diagnosis.given_masks import GivenMasks, outside_given_lungs
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.diagnosis.whole_lungs import whole_lungs
from jcs_ct.errors import UsageError
from jcs_ct.notices import text
from tests.diagnosis.test_measure import geometry, study_of
from tests.opacity_networks import write_weights
from tests.phantoms import ChestPhantom

Mask = NDArray[np.bool_]
PHANTOM = ChestPhantom.healthy(shape=(24, 192, 192), spacing=(8.0, 1.75, 1.75))
CROSS = ndimage.generate_binary_structure(2, 1)[None]
LEFT = np.broadcast_to(np.arange(192) >= 96, PHANTOM.shape)


def grid() -> tuple[NDArray[np.float64], ...]:
    """z, y and x in mm from the centre of the phantom."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(PHANTOM.shape, PHANTOM.spacing, strict=True)]
    return tuple(np.meshgrid(*axes, indexing="ij"))


Z, Y, X = grid()


def ball(centre: tuple[float, float, float], radius: float) -> Mask:
    near = (Z - centre[0]) ** 2 + (Y - centre[1]) ** 2 + (X - centre[2]) ** 2 <= radius**2
    return np.asarray(near & PHANTOM.lung_mask)


# The left lung's pleura is 110 mm to the left and 70 mm to the back.
CONSOLIDATIONS = {
    "small lateral": ball((0, 0, 110), 14),
    "small dorsal": ball((5, 70, 62), 14),
    "small ventral, right": ball((10, -70, -62), 14),
    "large lateral": ball((-10, 5, 110), 36),
    "large dorsal": ball((-10, 70, 62), 40),
    "large dorsal, right": ball((-10, 70, -62), 40),
    "lower lobe": PHANTOM.lung_mask & LEFT & (Z < -25),
    "most of the left lung": PHANTOM.lung_mask & LEFT & (Z < 50),
    "dorsal third, left": PHANTOM.lung_mask & LEFT & (Y > 23),
    "oblique lower lobe": PHANTOM.lung_mask & LEFT & (Y > 20 + 0.6 * Z),
}
# Neither lung tells how far the other one reaches: only what was outlined does, and what is like it close by.
ON_BOTH_SIDES = {
    "both bases": PHANTOM.lung_mask & (Z < -25),
    "left lower lobe, right base": PHANTOM.lung_mask & np.where(LEFT, Z < -25, Z < -50),
    "dorsal thirds": PHANTOM.lung_mask & (Y > 23),
    "oblique lower lobes": PHANTOM.lung_mask & (Y > 35 + 0.8 * Z),
}


def completed(dense: Mask, outlined: Mask, hu: int = 25) -> Mask:
    """The whole lungs of the phantom with something dense in it, some of which was outlined."""
    where = geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])
    slices = find_lung_slices(study_of(np.where(dense, hu, PHANTOM.hu).astype(np.int16), where), (160, 208))
    assert slices is not None
    before = np.asarray(slices.lung_mask) | outlined
    whole = np.asarray(whole_lungs(slices.lung_mask, outlined, slices.overview))
    assert not (before & ~whole).any()
    return whole


def held(part: Mask, whole: Mask) -> float:
    return float((part & whole).sum() / part.sum())


def leaked(whole: Mask) -> float:
    """What is not lung, as a share of the lungs."""
    return float((whole & ~PHANTOM.lung_mask).sum() / PHANTOM.lung_mask.sum())


def without_rim(mask: Mask) -> Mask:
    """Outlines that fall short by a pixel (1.75 mm) on every side."""
    return np.asarray(ndimage.binary_erosion(mask, CROSS))


def inner_part(mask: Mask) -> Mask:
    """Outlines that miss what lies against the chest wall: a third of the region or so."""
    out = np.zeros_like(mask)
    for z in np.flatnonzero(mask.any((1, 2))):
        depth = ndimage.distance_transform_edt(PHANTOM.lung_mask[z])
        assert isinstance(depth, np.ndarray)
        out[z] = mask[z] & (depth > np.quantile(depth[mask[z]], 0.33))
    return out


@pytest.mark.parametrize("name", CONSOLIDATIONS)
@pytest.mark.parametrize(
    "outline", [lambda mask: mask, without_rim, inner_part], ids=["whole", "rim lost", "wall lost"]
)
def test_consolidation_at_the_pleura_stays_inside(name: str, outline: object) -> None:
    truth = CONSOLIDATIONS[name]
    assert callable(outline)
    outlined = outline(truth)
    whole = completed(truth, outlined)
    assert held(truth, whole) >= 0.9
    assert leaked(whole) < 0.02


@pytest.mark.parametrize("name", ON_BOTH_SIDES)
@pytest.mark.parametrize("outline", [lambda mask: mask, without_rim], ids=["whole", "rim lost"])
def test_consolidation_of_both_lungs_stays_inside(name: str, outline: object) -> None:
    truth = ON_BOTH_SIDES[name]
    assert callable(outline)
    whole = completed(truth, outline(truth))
    assert held(truth, whole) >= 0.9
    assert leaked(whole) < 0.02


@pytest.fixture(scope="module")
def dense_diagnoser(tmp_path_factory: pytest.TempPathFactory) -> Diagnoser:
    """With networks that mark consolidation of -184 to -16 HU."""
    return Diagnoser(write_weights(tmp_path_factory.mktemp("weights"), band=(0.68, 0.82)), threads=1)


@pytest.mark.parametrize(
    "name",
    # The aerated lung's hull does not reach into the dorsal thirds: what is right beside it must not be dropped.
    ["large lateral", "large dorsal", "most of the left lung", "lower lobe", "oblique lower lobe", "dorsal thirds"],
)
def test_the_lungs_of_a_diagnosis_hold_what_the_networks_outline(dense_diagnoser: Diagnoser, name: str) -> None:
    truth = {**CONSOLIDATIONS, **ON_BOTH_SIDES}[name]
    where = geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])
    diagnosis = dense_diagnoser.run(study_of(np.where(truth, -100, PHANTOM.hu).astype(np.int16), where))
    assert diagnosis.lung_mask is not None
    assert held(truth, np.asarray(diagnosis.lung_mask)) >= 0.95
    assert leaked(np.asarray(diagnosis.lung_mask)) < 0.02
    assert diagnosis.measures.lung_volume_ml == pytest.approx(PHANTOM.lung_ml, rel=0.03)


def test_what_is_dense_is_not_found_by_air_alone() -> None:
    """What the whole lungs add: without them the share of a dense lower lobe would be far off."""
    truth = CONSOLIDATIONS["lower lobe"]
    where = geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])
    dense = study_of(np.where(truth, 25, PHANTOM.hu).astype(np.int16), where)
    slices = find_lung_slices(dense, (160, 208))
    assert slices is not None
    assert held(truth, np.asarray(slices.lung_mask)) < 0.1


def test_a_narrow_gap_is_closed_up_to_its_chord_without_any_outline() -> None:
    """What bulges beyond the chord takes outlines or symmetry; this phantom's lungs are rounder than a chest."""
    dense, where = ball((0, 0, 110), 12), geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])
    slices = find_lung_slices(study_of(np.where(dense, 25, PHANTOM.hu).astype(np.int16), where), (160, 208))
    assert slices is not None
    whole = completed(dense, np.zeros_like(dense))
    assert held(dense, np.asarray(slices.lung_mask)) < 0.4
    assert held(dense, whole) > 0.6
    assert leaked(whole) < 0.001


def test_consolidation_above_an_effusion_stays_inside_and_the_effusion_does_not() -> None:
    effusion = PHANTOM.lung_mask & LEFT & (Y > 45)
    band = PHANTOM.lung_mask & LEFT & (Y > 30) & (Y <= 45) & (np.abs(Z) < 60)
    hu = np.where(effusion, 10, np.where(band, 40, PHANTOM.hu)).astype(np.int16)
    slices = find_lung_slices(study_of(hu, geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])), (160, 208))
    assert slices is not None
    for outlined in (band, without_rim(band)):
        whole = np.asarray(whole_lungs(slices.lung_mask, outlined, slices.overview))
        assert held(band, whole) >= 0.95
        # Taken in: the rim by which outlines may fall short, and the thin ends, which are like a lost rim.
        assert held(effusion, whole) < 0.42


@pytest.mark.parametrize("outlined", [False, True], ids=["no opacity", "small opacity"])
def test_a_high_diaphragm_is_not_taken_for_lung(outlined: bool) -> None:
    """The right lung ends 40 mm above the left one; below it lies the liver, where the mirrored left lung is."""
    liver = PHANTOM.lung_mask & ~LEFT & (Z < -20) & (Z > -60)
    gone = PHANTOM.lung_mask & ~LEFT & (Z <= -60)
    opacity = ball((-25, 60, -62), 12) if outlined else np.zeros_like(liver)
    whole = completed(liver | gone, opacity)
    assert held((liver | gone) & ~opacity, whole) < 0.05


def precision(whole: Mask, lung: Mask) -> float:
    return float((whole & lung).sum() / whole.sum())


@pytest.mark.parametrize("end", [-40.0, -56.0, -64.0])
def test_a_dense_base_above_the_liver_spills_little_into_it(end: float) -> None:
    """The mirrored left lung reaches lower, and where no slice was assessed nothing tells liver from dense lobe."""
    liver = PHANTOM.lung_mask & ~LEFT & np.less(Z, end)
    lung = PHANTOM.lung_mask & ~liver
    dense = lung & ~LEFT & (Z < -20)
    hu = np.where(dense, 25, np.where(liver, 40, PHANTOM.hu)).astype(np.int16)
    slices = find_lung_slices(study_of(hu, geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])), (160, 208))
    assert slices is not None
    assert not slices.assessed[:2].any()
    outlined = dense & slices.assessed[:, None, None]
    whole = np.asarray(whole_lungs(slices.lung_mask, outlined, slices.overview, assessed=slices.assessed))
    assert held(dense, whole) >= 0.9
    assert precision(whole, lung) >= 0.95


@pytest.mark.parametrize("name", ON_BOTH_SIDES)
def test_outlines_that_lack_nothing_spill_little_into_a_wall_as_dense_as_they_are(name: str) -> None:
    truth = ON_BOTH_SIDES[name]
    whole = completed(truth, truth, hu=40)
    assert held(truth, whole) >= 0.95
    assert precision(whole, PHANTOM.lung_mask) >= 0.97


def test_healthy_lungs_stay_as_they_are() -> None:
    nothing = np.zeros(PHANTOM.shape, bool)
    whole = completed(nothing, nothing)
    where = geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])
    slices = find_lung_slices(study_of(PHANTOM.hu, where), (160, 208))
    assert slices is not None
    assert np.array_equal(whole, slices.lung_mask)


def test_ribs_are_not_lung_and_neither_is_padding() -> None:
    rib, where = ball((0, 0, 110), 12), geometry(np.array(PHANTOM.positions), PHANTOM.spacing[1:])
    bony = find_lung_slices(study_of(np.where(rib, 500, PHANTOM.hu).astype(np.int16), where), (160, 208))
    assert bony is not None
    assert np.array_equal(whole_lungs(bony.lung_mask, np.zeros_like(rib), bony.overview), bony.lung_mask)
    lungs, overview = PHANTOM.lung_mask, np.full(PHANTOM.shape, 220, np.uint8)
    inside = np.ones_like(lungs)
    inside[:, :, 100:] = False
    assert not np.asarray(whole_lungs(lungs, rib, overview, inside))[~inside].any()


def test_no_lung_at_all() -> None:
    nothing = np.zeros((3, 20, 20), bool)
    assert not whole_lungs(nothing, nothing, np.full(nothing.shape, 220, np.uint8)).shown()


def test_a_large_study_is_completed_on_its_own_grid() -> None:
    phantom = ChestPhantom(shape=(16, 512, 512), spacing=(12.0, 0.65, 0.65))
    z, y, x = phantom._grid()
    dense = np.asarray(((z**2 + y**2 + (x - 110) ** 2) <= 36**2) & phantom.lung_mask)
    where = geometry(np.array(phantom.positions), phantom.spacing[1:])
    slices = find_lung_slices(study_of(np.where(dense, 25, phantom.hu).astype(np.int16), where), (160, 208))
    assert slices is not None
    assert slices.overview.shape == (16, 256, 256)
    outlined = np.asarray(ndimage.binary_erosion(dense, CROSS, iterations=5))
    whole = np.asarray(whole_lungs(slices.lung_mask, outlined, slices.overview))
    assert held(dense, whole) >= 0.9
    assert (whole & ~phantom.lung_mask).sum() / phantom.lung_mask.sum() < 0.02


def test_given_masks_must_fit_the_study() -> None:
    study = study_of(np.zeros((4, 8, 9), np.int16), geometry(np.arange(4.0), (1.0, 1.0)))
    GivenMasks(np.ones((4, 8, 9), bool), np.full((4, 8, 9), 5, np.uint8)).fit(study)
    with pytest.raises(UsageError, match=r"lung mask has the shape \(4, 9, 8\)"):
        GivenMasks(np.ones((4, 9, 8), bool)).fit(study)
    with pytest.raises(UsageError, match="label 6, expected 0 to 5"):
        GivenMasks(lobes=np.full((4, 8, 9), 6, np.uint8)).fit(study)


def test_lobes_together_are_the_lungs_unless_these_are_given() -> None:
    lobes = np.zeros((2, 8, 9), np.uint8)
    lobes[0] = 3
    lungs = np.zeros(lobes.shape, bool)
    lungs[1] = True
    assert GivenMasks().whole_lungs() is None
    for given, expected in ((GivenMasks(lobes=lobes), lobes > 0), (GivenMasks(lungs, lobes), lungs)):
        whole = given.whole_lungs()
        assert whole is not None
        assert np.array_equal(whole, expected)
    turned = replace(GivenMasks(lungs), lobes=lobes).turned()
    assert turned.lungs is not None
    assert turned.lungs.shape == (2, 9, 8)


def test_opacities_outside_of_given_lungs_are_told() -> None:
    lungs = np.zeros((2, 10, 10), bool)
    lungs[:, :5] = True
    lesions = np.zeros_like(lungs)
    lesions[0, 2:6, 2:6] = True
    given = GivenMasks(lungs)
    (warning,) = outside_given_lungs(lesions, given, measured=False)
    assert text(warning).startswith("25 % of the outlined opacities")
    assert outside_given_lungs(lesions & lungs, given, measured=False) == ()
    assert outside_given_lungs(lesions, GivenMasks(), measured=False) == ()
