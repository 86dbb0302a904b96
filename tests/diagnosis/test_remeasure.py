"""Outlines that a user drew are measured as those of a diagnosis are, and nothing is decided over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.decision import ExplanationCheck, TypicalityCheck, Verdict
from jcs_ct.diagnosis.measured import Lesion
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.remeasure import measure_outlines
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.morphology import Mask
from jcs_ct.normalization import turned_upright
from jcs_ct.notices import notice
from jcs_ct.study.outlines import OutlineSource
from tests.diagnosis.test_measure import geometry, phantom_study, study_of
from tests.noticed import codes, values_of
from tests.opacity_networks import write_weights
from tests.phantoms import ChestPhantom, to_grey
from tests.phantoms import Lesion as PhantomLesion

SICK = ChestPhantom(
    lesions=(
        PhantomLesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)),
        PhantomLesion((-30.0, 0.0, -62.0), (25.0, 22.0, 20.0)),
    )
)
STUDY = phantom_study(SICK)
VOXEL_ML = 5.0 * 2.6 * 2.6 / 1000


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    return Diagnoser(write_weights(tmp_path_factory.mktemp("weights")), threads=1).run(STUDY)


def outlines_of(diagnosis: Diagnosis) -> Mask:
    assert diagnosis.lesion_labels is not None
    return np.asarray(diagnosis.lesion_labels) > 0


def as_drawn(lesions: tuple[Lesion, ...]) -> tuple[Lesion, ...]:
    """Lesions without what only a network can tell."""
    return tuple(replace(lesion, mean_probability=None) for lesion in lesions)


def volume_ml(diagnosis: Diagnosis) -> float:
    assert diagnosis.measures.lesion_volume_ml is not None
    return diagnosis.measures.lesion_volume_ml


def lying(canonical: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turned by a quarter clockwise within the slices."""
    return np.ascontiguousarray(np.rot90(canonical, -1, (1, 2)))


def without_lungs() -> NDArray[np.int16]:
    """The body of the phantom, solid throughout."""
    body = np.where(SICK.hu < -500, -1000, 40).astype(np.int16)
    body[SICK.lung_mask] = 40
    y, x = np.mgrid[:128, :128]
    body[:, (np.abs(x - 63.5) < 6) & (np.abs(y - 60) < 6)] = 40
    return body


@pytest.mark.parametrize("given", [True, False], ids=["lungs given", "lungs found"])
def test_outlines_of_a_diagnosis_measure_the_same_again(given: bool, diagnosed: Diagnosis) -> None:
    again = measure_outlines(diagnosed.study, outlines_of(diagnosed), diagnosed.lung_mask if given else None)
    assert again.measures == diagnosed.measures
    assert again.lesions == as_drawn(diagnosed.lesions)
    assert len(again.lesions) == 2
    for mine, theirs in ((again.lung_mask, diagnosed.lung_mask), (again.lesion_labels, diagnosed.lesion_labels)):
        assert mine is not None
        assert theirs is not None
        assert np.array_equal(mine, theirs)
    segmented = [k for k, finding in enumerate(diagnosed.slices) if finding.lesion_area_mm2 is not None]
    assert segmented
    for k in segmented:
        assert again.slices[k].lesion_area_mm2 == diagnosed.slices[k].lesion_area_mm2
        assert again.slices[k].lesion_share == diagnosed.slices[k].lesion_share


def test_an_erased_opacity_takes_its_voxels_with_it(diagnosed: Diagnosis) -> None:
    assert diagnosed.lesion_labels is not None
    erased = measure_outlines(STUDY, np.asarray(diagnosed.lesion_labels) == 2, SICK.lung_mask)
    gone = np.count_nonzero(np.asarray(diagnosed.lesion_labels) == 1) * VOXEL_ML
    assert volume_ml(erased) == pytest.approx(volume_ml(diagnosed) - gone)
    assert erased.measures.lesion_count == 1
    assert erased.lesions[0].volume_ml == diagnosed.lesions[1].volume_ml
    nothing = measure_outlines(STUDY, np.zeros(SICK.shape, bool), SICK.lung_mask)
    assert (nothing.measures.lesion_volume_ml, nothing.measures.lesion_count) == (0, 0)


def test_an_added_opacity_adds_its_voxels_and_a_single_one_counts(diagnosed: Diagnosis) -> None:
    more = outlines_of(diagnosed).copy()
    more[30:32, 60:64, 40:45] = True  # in the right lung, above its opacity
    more[32, 70, 84] = True  # a network's single voxel would be noise
    assert np.count_nonzero(more) == np.count_nonzero(outlines_of(diagnosed)) + 41
    added = measure_outlines(STUDY, more, diagnosed.lung_mask)
    assert volume_ml(added) == pytest.approx(volume_ml(diagnosed) + 41 * VOXEL_ML)
    assert [lesion.voxels for lesion in added.lesions[2:]] == [40, 1]
    assert added.slices[32].lesion_area_mm2 == pytest.approx(2.6 * 2.6)


def test_nothing_is_decided_over_outlines_alone(diagnosed: Diagnosis) -> None:
    source = OutlineSource("mine.dcm", "ab" * 32, "1.2.3", (1, 2))
    measured = measure_outlines(STUDY, outlines_of(diagnosed), SICK.lung_mask, source=source)
    assert measured.verdict is Verdict.NOT_ASSESSED
    assert codes(measured.reasons) == ["measured-only"]
    assert (measured.probability, measured.rule, measured.activation) == (None, None, None)
    assert {(one.assessed, one.probability, one.infected) for one in measured.slices} == {(False, None, None)}
    made = measured.provenance
    assert (made.weights, made.outlines) == ({}, source)
    assert measured.decision.provenance is None
    assert not measured.carried_over


def test_an_earlier_decision_is_carried_over_and_named(diagnosed: Diagnosis) -> None:
    assert diagnosed.lesion_labels is not None
    earlier = diagnosed.decision
    edited = measure_outlines(
        STUDY, np.asarray(diagnosed.lesion_labels) == 2, np.asarray(diagnosed.lung_mask), earlier=earlier
    )
    assert edited.verdict is diagnosed.verdict is Verdict.POSITIVE
    assert edited.reasons == (*diagnosed.reasons, notice("carried-over"))
    assert (edited.probability, edited.rule) == (diagnosed.probability, diagnosed.rule)
    assert edited.activation is diagnosed.activation
    assert [one.probability for one in edited.slices] == [one.probability for one in diagnosed.slices]
    assert edited.slices[20].lesion_area_mm2 != diagnosed.slices[20].lesion_area_mm2, "areas are of the edited ones"
    made = edited.provenance
    assert made.weights == {}
    assert edited.decision == replace(earlier, reasons=edited.reasons), "nothing else of the decision changes"
    assert edited.decision.provenance == diagnosed.provenance
    assert edited.carried_over
    assert not diagnosed.carried_over
    assert made.outlines is not None
    assert made.outlines.algorithm_type == "SEMIAUTOMATIC"


def test_given_outlines_have_no_intervals_and_keep_the_check_of_the_decision(diagnosed: Diagnosis) -> None:
    past = ExplanationCheck(9, 0.1, 0.3, 0.0, 0.02)
    unusual = TypicalityCheck(9, 1.4, 1.2, 1.7, 8, 0)
    earlier = replace(diagnosed.decision, explanation=past, typicality=unusual)
    result = measure_outlines(STUDY, outlines_of(diagnosed), diagnosed.lung_mask, earlier=earlier)
    assert {lesion.volume_interval_ml for lesion in result.lesions} == {None}
    assert result.measures.lesion_volume_interval_ml is None
    assert result.explanation == past
    assert result.typicality == unusual
    assert values_of(result.warnings, "unusual-slices")["unusual"] == 8
    assert "activation-outside-lungs" in codes(result.warnings)
    assert measure_outlines(STUDY, outlines_of(diagnosed), diagnosed.lung_mask).explanation is None


def test_a_decision_survives_a_second_edit(diagnosed: Diagnosis) -> None:
    outlines, lungs = outlines_of(diagnosed), SICK.lung_mask
    once = measure_outlines(STUDY, outlines, lungs, earlier=diagnosed.decision)
    twice = measure_outlines(STUDY, outlines, lungs, earlier=once.decision)
    assert twice.decision.provenance == diagnosed.provenance
    assert twice.reasons == once.reasons, "said once"
    assert twice.verdict is Verdict.POSITIVE


def test_an_earlier_result_of_another_study_or_without_a_decision_is_refused(diagnosed: Diagnosis) -> None:
    other = replace(STUDY, digest="1" * 64)
    with pytest.raises(UsageError, match="of another study: found the digest 0000000000000000, expected 111"):
        measure_outlines(other, outlines_of(diagnosed), earlier=diagnosed.decision)
    undecided = measure_outlines(STUDY, outlines_of(diagnosed), SICK.lung_mask).decision
    with pytest.raises(UsageError, match="holds no decision"):
        measure_outlines(STUDY, outlines_of(diagnosed), earlier=undecided)


def test_masks_that_do_not_fit_are_refused() -> None:
    fits, flat = SICK.lesion_mask, SICK.lesion_mask[1:]
    with pytest.raises(UsageError, match=r"the outlines have the shape \(39, 128, 128\), expected \(40, 128, 128\)"):
        measure_outlines(STUDY, flat)
    with pytest.raises(UsageError, match="the lung mask has the shape"):
        measure_outlines(STUDY, fits, flat)
    with pytest.raises(UsageError, match="the lobe mask has the shape"):
        measure_outlines(STUDY, fits, lobes=flat.astype(np.uint8))
    with pytest.raises(UsageError, match="holds the label 9, expected 0 to 5"):
        measure_outlines(STUDY, fits, lobes=fits.astype(np.uint8) * np.uint8(9))


def test_more_pieces_than_can_be_numbered_are_refused() -> None:
    dust = np.zeros(SICK.shape, bool)
    dust[::2, ::2, ::2] = True
    with pytest.raises(UsageError, match="expected at most 65535 pieces"):
        measure_outlines(STUDY, dust, SICK.lung_mask)


def test_outlines_outside_of_given_lungs_are_measured_and_told() -> None:
    upper = SICK.lung_mask.copy()
    upper[:20] = False  # half of the left opacity is left, and nothing of the right one
    measured = measure_outlines(STUDY, SICK.lesion_mask, upper)
    assert volume_ml(measured) == pytest.approx(np.count_nonzero(SICK.lesion_mask) * VOXEL_ML)
    share = np.count_nonzero(SICK.lesion_mask & ~upper) / np.count_nonzero(SICK.lesion_mask)
    assert values_of(measured.warnings, "outlines-outside-lungs")["percent"] == pytest.approx(100 * share)
    assert measured.lung_mask is not None
    assert np.array_equal(measured.lung_mask, upper | SICK.lesion_mask), "opacities are lung"
    assert measured.measures.lesion_share_of_lung == pytest.approx(
        np.count_nonzero(SICK.lesion_mask) / np.count_nonzero(upper | SICK.lesion_mask)
    )
    assert measured.provenance.settings["given_masks"] == ["lungs"]
    inside = measure_outlines(STUDY, SICK.lesion_mask, SICK.lung_mask)
    assert "outlines-outside-lungs" not in codes(inside.notices)


def test_given_lobes_are_what_is_scored() -> None:
    left = np.broadcast_to(np.arange(128) >= 64, SICK.shape)
    lobes = np.where(SICK.lung_mask, np.where(left, 2, 5), 0).astype(np.uint8)
    measured = measure_outlines(STUDY, SICK.lesion_mask, lobes=lobes)
    assert measured.measures.severity is not None
    assert measured.measures.severity.basis == "lobes"
    assert [lesion.lobe for lesion in measured.lesions] == ["left lower lobe", "right lower lobe"]
    assert measured.measures.lung_volume_ml == pytest.approx(np.count_nonzero(lobes) * VOXEL_ML)


def test_without_lungs_nothing_is_measured_but_against_given_ones() -> None:
    study = study_of(without_lungs(), geometry(np.array(SICK.positions), (2.6, 2.6)))
    nothing = measure_outlines(study, SICK.lesion_mask)
    assert nothing.verdict is Verdict.NOT_ASSESSABLE
    assert codes(nothing.reasons) == ["no-lungs-to-measure"]
    assert (nothing.lesion_labels, nothing.lesions, nothing.measures.lesion_volume_ml) == (None, (), None)
    given = measure_outlines(study, SICK.lesion_mask, SICK.lung_mask)
    assert given.verdict is Verdict.NOT_ASSESSED
    assert volume_ml(given) == pytest.approx(np.count_nonzero(SICK.lesion_mask) * VOXEL_ML)


def test_a_study_that_must_not_be_judged_is_not_measured_and_keeps_no_decision(diagnosed: Diagnosis) -> None:
    coronal = replace(STUDY, plane="coronal")
    result = measure_outlines(coronal, SICK.lesion_mask, SICK.lung_mask, earlier=diagnosed.decision)
    assert result.verdict is Verdict.NOT_ASSESSABLE
    assert codes(result.reasons) == ["not-axial"]
    assert result.decision.provenance is None
    assert (result.probability, result.rule, result.lesion_labels) == (None, None, None)


@pytest.mark.parametrize("given", [True, False], ids=["lungs given", "lungs found"])
def test_outlines_of_pictures_on_their_side_are_turned_with_them(given: bool) -> None:
    study = study_of(lying(to_grey(SICK.hu)), None)
    outlines = lying(SICK.lesion_mask).astype(bool)
    lungs = lying(SICK.lung_mask).astype(bool) if given else None
    turned = measure_outlines(study, outlines, lungs)
    upright = measure_outlines(study_of(to_grey(SICK.hu), None), SICK.lesion_mask, SICK.lung_mask if given else None)
    assert "quarter-turn" in codes(turned.notices)
    assert "quarter-turn" not in codes(upright.notices)
    assert turned.study.grid == turned_upright(study).grid
    assert turned.lesion_labels is not None
    assert np.array_equal(np.asarray(turned.lesion_labels) > 0, SICK.lesion_mask)
    assert turned.measures == upright.measures
    assert turned.lesions == upright.lesions
    assert np.array_equal(turned.study.grid.to_stored(np.asarray(turned.lesion_labels)).astype(bool), outlines), (
        "and written turned back"
    )


def test_the_masks_of_the_caller_are_left_alone(diagnosed: Diagnosis) -> None:
    outlines, lungs = outlines_of(diagnosed).copy(), SICK.lung_mask.copy()
    for mask in (outlines, lungs):
        mask.flags.writeable = False
    measure_outlines(STUDY, outlines, lungs)
    assert np.array_equal(outlines, outlines_of(diagnosed))
