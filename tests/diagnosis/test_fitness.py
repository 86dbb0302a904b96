"""What the lungs found say about a study, on phantoms whose header may say something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.cropped_volume import marked_pixels
from jcs_ct.diagnosis import fitness
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.jobs.summary import summary_of
from jcs_ct.notices import Severity, texts
from jcs_ct.study.volume import Study
from tests.diagnosis.test_measure import geometry, study_of
from tests.noticed import codes, values_of
from tests.opacity_networks import INPUT_SIZE, write_weights
from tests.phantoms import AIR, BODY, LUNG, ChestPhantom, Lesion

SPACING = (5.0, 2.6, 2.6)
HEALTHY = ChestPhantom.healthy()
SICK = ChestPhantom(lesions=(Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)),))


@pytest.fixture(scope="module")
def diagnoser(tmp_path_factory: pytest.TempPathFactory) -> Diagnoser:
    return Diagnoser(write_weights(tmp_path_factory.mktemp("weights")), threads=1)


def part(phantom: ChestPhantom, first: int, last: int, **attributes: str) -> Study:
    """Slices `first` to `last` of a phantom, 5 mm apart; its lungs lie in slices 3 to 36 of 40."""
    where = replace(geometry(np.array(phantom.positions[first:last]), SPACING[1:]), slice_thickness=5.0)
    return replace(study_of(phantom.hu[first:last], where), attributes=attributes)


def hollow_body(radius_mm: float, hu: int, height_mm: float = 1000.0) -> NDArray[np.int16]:
    """A body with two round hollows of some density side by side, and no lungs."""
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in HEALTHY.shape), indexing="ij")
    z, y, x = z * 5.0, y * 2.6, x * 2.6
    volume = np.where((x / 155) ** 2 + (y / 105) ** 2 <= 1, BODY, AIR)
    volume[((np.abs(x) - 50) ** 2 + y**2 <= radius_mm**2) & (np.abs(z) < height_mm / 2)] = hu
    return volume.astype(np.int16)


def hollow_study(radius_mm: float, hu: int, height_mm: float = 1000.0, **attributes: str) -> Study:
    where = geometry(np.array(HEALTHY.positions), SPACING[1:])
    return replace(study_of(hollow_body(radius_mm, hu, height_mm), where), attributes=attributes)


def where_cut_off(diagnosis: Diagnosis) -> object:
    return values_of(diagnosis.warnings, "lungs-cut-off")["where"]


def test_whole_lungs_are_judged_without_a_word(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(part(HEALTHY, 0, 40, BodyPartExamined="CHEST"))
    assert diagnosis.verdict is Verdict.NEGATIVE
    assert diagnosis.notices == ()


@pytest.mark.parametrize(("first", "last", "where"), [(0, 30, "top"), (12, 40, "bottom"), (7, 33, "bottom and top")])
def test_lungs_that_are_cut_off_are_judged_with_a_warning(
    diagnoser: Diagnoser, first: int, last: int, where: str
) -> None:
    diagnosis = diagnoser.run(part(HEALTHY, first, last))
    assert diagnosis.verdict is Verdict.NEGATIVE
    assert where_cut_off(diagnosis) == where


@pytest.mark.parametrize(("first", "last", "where"), [(0, 20, "top"), (12, 28, "bottom and top")])
def test_nothing_found_in_half_a_lung_is_no_negative(diagnoser: Diagnoser, first: int, last: int, where: str) -> None:
    diagnosis = diagnoser.run(part(HEALTHY, first, last))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert diagnosis.probability is None
    assert values_of(diagnosis.reasons, "half-a-lung")["where"] == where
    assert {one.severity for one in diagnosis.reasons} == {Severity.REFUSAL}
    assert diagnosis.rule is not None


def test_what_is_found_in_half_a_lung_counts(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(part(SICK, 12, 28))
    assert diagnosis.verdict is Verdict.POSITIVE
    assert where_cut_off(diagnosis) == "bottom and top"
    assert values_of(diagnosis.warnings, "positive-on-part-of-lungs")["extent_mm"] == 80
    assert summary_of(diagnosis)["doubts"] == ["positive-on-part-of-lungs"]


def test_a_positive_verdict_on_most_of_the_lungs_needs_no_guard(diagnoser: Diagnoser) -> None:
    for first, last in ((0, 40), (7, 33)):
        assert "positive-on-part-of-lungs" not in codes(diagnoser.run(part(SICK, first, last)).notices)


def upper_abdomen(above: int, below_mm: float, loop_hu: int = -1000) -> Study:
    """The lung bases as far as slice `above`, and further slices below with two loops of colon that hold gas.

    The loops are narrow and have a wall of mixed density, so that the search for lungs does not know them for gas.
    """
    y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 2.6 for n in HEALTHY.shape[1:]), indexing="ij")
    plane = np.where((x / 155) ** 2 + (y / 105) ** 2 <= 1, BODY, AIR)
    for side in (-60, 60):
        distance = np.hypot(x - side, y)
        plane[distance <= 26] = -700
        plane[distance <= 19] = loop_hu
    count = round(below_mm / 40)
    voxels = np.concatenate([np.repeat(plane[None], count, 0), HEALTHY.hu[3:above]]).astype(np.int16)
    places = np.array(HEALTHY.positions[3:above])
    lower = places[0] - 40 * np.arange(count, 0, -1)
    return study_of(voxels, geometry(np.concatenate([lower, places]), SPACING[1:]))


def test_gas_below_the_lungs_adds_nothing_to_their_extent(diagnoser: Diagnoser) -> None:
    abdomen = upper_abdomen(10, 160)
    lungs = find_lung_slices(abdomen, INPUT_SIZE)
    assert lungs is not None
    assert lungs.indices[0] == 0  # the search takes the loops for lung
    coverage = fitness.lung_coverage(lungs)
    assert coverage is not None
    assert coverage.missing == ("top",)
    assert coverage.extent_mm < 60
    diagnosis = diagnoser.run(abdomen)
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE


def test_gas_adds_nothing_to_the_volume_of_the_lungs() -> None:
    with_gas, without = (find_lung_slices(one, INPUT_SIZE) for one in (upper_abdomen(37, 80), part(HEALTHY, 3, 37)))
    assert with_gas is not None
    assert without is not None
    assert fitness.lung_areas(with_gas).sum() == pytest.approx(fitness.lung_areas(without).sum(), rel=0.02)


def test_lung_of_low_density_counts() -> None:
    dark = (HEALTHY.hu == LUNG) & (np.arange(HEALTHY.shape[1])[:, None] % 5 < 3)
    emphysema = replace(part(HEALTHY, 0, 40), voxels=np.where(dark, -950, HEALTHY.hu).astype(np.int16))
    lungs = find_lung_slices(emphysema, INPUT_SIZE)
    assert lungs is not None
    assert fitness.lung_areas(lungs).tolist() == marked_pixels(lungs.lung_mask).tolist()


def test_small_hollows_are_no_lungs(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(hollow_study(22, -860, 60.0, BodyPartExamined="HEAD"))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert texts(diagnosis.reasons) == (
        "what looks like lungs has 179 mL; 200 to 15000 mL are plausible",
        "the header names the body part HEAD; what the images show counts",
    )
    assert {one.severity for one in diagnosis.reasons} == {Severity.REFUSAL}


def test_what_the_header_says_is_told_where_there_are_no_lungs(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(hollow_study(40, -990, BodyPartExamined="ABDOMEN"))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert codes(diagnosis.reasons) == ["no-lungs", "other-body-part"]
    assert values_of(diagnosis.reasons, "other-body-part")["stated"] == "ABDOMEN"


def test_gas_that_the_search_takes_for_lung_is_objected_to(diagnoser: Diagnoser) -> None:
    """Gas beside a little denser matter, as stool gives it, passes the search for lungs by its share."""
    study = hollow_study(40, -990)
    rows = np.arange(study.voxels.shape[1])[:, None]
    denser = (study.voxels == -990) & (rows % 5 < 2)
    diagnosis = diagnoser.run(replace(study, voxels=np.where(denser, -900, study.voxels).astype(np.int16)))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert texts(diagnosis.reasons) == (
        "what looks like lungs has a median of -990 HU, which is gas; lungs are needed",
    )


def test_lungs_count_whatever_the_header_says(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(part(SICK, 0, 40, BodyPartExamined="KNEE"))
    assert diagnosis.verdict is Verdict.POSITIVE
    assert values_of(diagnosis.warnings, "other-body-part")["stated"] == "KNEE"


def test_lungs_of_a_mouse_are_objected_to(diagnoser: Diagnoser) -> None:
    study = part(HEALTHY, 0, 40)
    diagnosis = diagnoser.run(replace(study, geometry=geometry(np.array(HEALTHY.positions) / 5, (0.5, 0.5))))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert codes(diagnosis.reasons) == ["lung-volume-implausible"]


@pytest.mark.parametrize("stated", ["CHEST", "Thorax", "LUNG", "CHESTABDPELVIS", "WHOLEBODY", ""])
def test_words_for_the_chest_are_known(stated: str) -> None:
    assert fitness.other_body_part(part(HEALTHY, 0, 40, BodyPartExamined=stated)) == ()


def test_pictures_without_positions_are_not_called_cut_off(diagnoser: Diagnoser) -> None:
    study = replace(part(HEALTHY, 12, 28), geometry=None)
    assert "lungs-cut-off" not in codes(diagnoser.run(study).notices)
