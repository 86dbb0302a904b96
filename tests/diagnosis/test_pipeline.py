"""The whole way of phantoms through JCS, with networks at the boundary that mark ground glass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jcs_ct._version import __version__
from jcs_ct.diagnosis.classify import classify
from jcs_ct.diagnosis.decide import PatientRule
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings, Precision
from jcs_ct.diagnosis.given_masks import GivenMasks
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.segment import segment
from jcs_ct.errors import UsageError, WeightsError
from jcs_ct.evaluation.typicality import Typicality
from jcs_ct.normalization import inside_mask
from jcs_ct.notices import notice
from jcs_ct.study.volume import Study
from jcs_ct.weights import file_sha256, load_manifest, write_fitted
from tests.diagnosis.test_measure import geometry, phantom_study, study_of
from tests.noticed import codes, values_of
from tests.opacity_networks import INPUT_SIZE, LOW, write_weights
from tests.phantoms import CONSOLIDATION, ChestPhantom, Lesion, to_grey

LESIONS = (Lesion((0.0, 5.0, 62.0), (30.0, 26.0, 26.0)), Lesion((-30.0, 0.0, -62.0), (25.0, 22.0, 20.0)))
SICK = ChestPhantom(lesions=LESIONS)
HEALTHY = ChestPhantom.healthy()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def diagnoser(weights: Path) -> Diagnoser:
    return Diagnoser(weights, threads=1)


@pytest.fixture(scope="module")
def sick(diagnoser: Diagnoser) -> Diagnosis:
    return diagnoser.run(phantom_study(SICK))


def grey_study(phantom: ChestPhantom = SICK) -> Study:
    return study_of(to_grey(phantom.hu), None)


class _Notes:
    """A reporter that writes down what it is told."""

    def __init__(self) -> None:
        self.stages: list[list[int]] = []
        self.names: list[str] = []

    def stage(self, name: str, total: int) -> None:
        self.names.append(name)
        self.stages.append([total, 0])

    def advance(self, count: int) -> None:
        self.stages[-1][1] += count


def test_each_opacity_of_a_phantom_gets_its_composition(tmp_path: Path) -> None:
    dense = Lesion((-30.0, 0.0, -62.0), (25.0, 22.0, 20.0), CONSOLIDATION)
    folder = write_weights(tmp_path, band=(LOW, 0.85))  # marks both, and no chest wall
    write_fitted(folder, "segmenter", "consolidation_hu", -400.0, "nothing")
    for study in (
        phantom_study(ChestPhantom(lesions=(LESIONS[0], dense))),
        grey_study(ChestPhantom(lesions=(LESIONS[0], dense))),
    ):
        found = Diagnoser(folder, threads=1).run(study)
        assert [lesion.consolidation_share for lesion in found.lesions] == pytest.approx([0, 1], abs=0.03)
        expected = dense.volume_ml / (dense.volume_ml + LESIONS[0].volume_ml)
        assert found.measures.consolidation_share == pytest.approx(expected, abs=0.05)
        assert found.provenance.settings["consolidation_hu"] == -400.0


def test_weights_without_a_level_leave_the_composition_open(sick: Diagnosis) -> None:
    assert sick.measures.consolidation_share is None
    assert {lesion.consolidation_share for lesion in sick.lesions} == {None}


def test_the_lesions_of_a_phantom_are_outlined_and_measured(sick: Diagnosis) -> None:
    assert sick.lesion_labels is not None
    found = np.asarray(sick.lesion_labels) > 0
    overlap = (found & SICK.lesion_mask).sum() / (found | SICK.lesion_mask).sum()
    assert overlap > 0.8
    assert sick.measures.lesion_count == len(sick.lesions) == 2
    assert sick.measures.lesion_volume_ml == pytest.approx(SICK.lesion_ml, rel=0.1)
    assert [lesion.volume_ml for lesion in sick.lesions] == pytest.approx([k.volume_ml for k in LESIONS], rel=0.15)
    assert sick.measures.lung_volume_ml == pytest.approx(SICK.lung_ml, rel=0.1)
    assert [lesion.mean_hu for lesion in sick.lesions] == pytest.approx([-550, -550], abs=30)


def test_infected_slices_make_the_patient_positive(sick: Diagnosis) -> None:
    assert sick.verdict is Verdict.POSITIVE
    assert sick.rule is not None
    assert sick.rule.threshold == 5  # 25 mm in slices of 5 mm
    infected = {finding.index for finding in sick.slices if finding.infected}
    assert len(infected) == sick.rule.infected_slices
    with_lesion = set(np.flatnonzero(SICK.lesion_mask.any((1, 2))).tolist())
    assert infected <= with_lesion
    assert len(infected) >= 0.6 * len(with_lesion)
    assert sick.probability is not None
    assert sick.probability > 0.5


def test_a_healthy_chest_is_negative_and_has_no_lesions(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(phantom_study(HEALTHY))
    assert diagnosis.verdict is Verdict.NEGATIVE
    assert (diagnosis.measures.lesion_volume_ml, diagnosis.measures.lesion_count) == (0, 0)
    assert not any(finding.infected for finding in diagnosis.slices)
    assert all(finding.lesion_area_mm2 is None for finding in diagnosis.slices)  # none was suspect, none was outlined


def test_findings_are_one_a_slice_in_order(sick: Diagnosis) -> None:
    study = phantom_study(SICK)
    assert [finding.index for finding in sick.slices] == list(range(len(study)))
    assert [finding.source for finding in sick.slices] == list(study.sources)
    assert study.geometry is not None
    assert [finding.position_mm for finding in sick.slices] == pytest.approx(study.geometry.slice_positions.tolist())
    assert sick.lesion_labels is not None
    for finding in sick.slices:
        if finding.assessed:
            assert finding.probability is not None
            assert finding.infected == (finding.probability > 0.5)
        else:
            assert (finding.probability, finding.infected, finding.lesion_area_mm2) == (None, None, None)
        if finding.lesion_area_mm2 is not None:
            area = np.count_nonzero(sick.lesion_labels[finding.index]) * 2.6 * 2.6
            assert finding.lesion_area_mm2 == pytest.approx(area)
    assert {finding.assessed for finding in sick.slices} == {True, False}


def test_the_activation_volume_peaks_in_a_lesion(sick: Diagnosis) -> None:
    assert sick.activation is not None
    assert sick.activation.shape == SICK.shape
    strength = np.asarray(sick.activation)
    assert strength.max() > 250  # 255 but for what resizing takes off the peak
    assert SICK.lesion_mask[np.unravel_index(int(strength.argmax()), SICK.shape)]


def test_grey_pictures_get_no_millimetres_and_no_hu(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(grey_study())
    assert diagnosis.verdict is Verdict.POSITIVE
    assert diagnosis.rule is not None
    assert diagnosis.rule.unit == "slices by fraction"
    assert diagnosis.rule.infected_extent_mm is None
    measures = diagnosis.measures
    assert (measures.lesion_volume_ml, measures.lung_volume_ml) == (None, None)
    assert measures.lesion_share_of_lung == pytest.approx(SICK.lesion_ml / SICK.lung_ml, rel=0.2)
    assert diagnosis.lesions
    for lesion in diagnosis.lesions:
        assert (lesion.volume_ml, lesion.area_mm2, lesion.centroid_mm, lesion.mean_hu) == (None,) * 4
    assert all(f.position_mm is None and f.lesion_area_mm2 is None for f in diagnosis.slices)
    assert any(f.lesion_share for f in diagnosis.slices)


def test_pictures_on_their_side_are_judged_upright_and_lead_back(diagnoser: Diagnoser) -> None:
    lying = np.ascontiguousarray(np.rot90(to_grey(SICK.hu), -1, (1, 2)))
    diagnosis = diagnoser.run(study_of(lying, None))
    assert "quarter-turn" in codes(diagnosis.notices)
    assert diagnosis.lesion_labels is not None
    stored = np.asarray(diagnosis.study.grid.to_stored(np.asarray(diagnosis.lesion_labels)) != 0)
    truth = np.rot90(SICK.lesion_mask, -1, (1, 2))
    assert (stored & truth).sum() / (stored | truth).sum() > 0.7


def test_padding_is_never_marked(diagnoser: Diagnoser) -> None:
    extents = np.array([[0, 128, 0, 128] if k % 2 == 0 else [14, 114, 9, 119] for k in range(40)])
    study = replace(grey_study(), extents=extents)
    inside = inside_mask(study)
    assert inside is not None
    ground_glass = int(to_grey(np.array([-550], np.int16))[0])
    study = replace(study, voxels=np.where(inside, study.voxels, ground_glass).astype(np.uint8))
    diagnosis = diagnoser.run(study)
    assert diagnosis.lesion_labels is not None
    assert diagnosis.activation is not None
    assert diagnosis.lung_mask is not None
    assert diagnosis.lesion_labels.shown()
    for volume in map(np.asarray, (diagnosis.lesion_labels, diagnosis.activation, diagnosis.lung_mask)):
        assert not volume[~inside].any()


def test_a_study_without_lungs_is_not_assessable(diagnoser: Diagnoser) -> None:
    body = np.where(SICK.hu < -500, -1000, 40).astype(np.int16)
    body[SICK.lung_mask] = 40
    y, x = np.mgrid[:128, :128]
    body[:, (np.abs(x - 63.5) < 6) & (np.abs(y - 60) < 6)] = 40
    diagnosis = diagnoser.run(study_of(body, geometry(np.array(SICK.positions), (2.6, 2.6))))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert codes(diagnosis.reasons) == ["no-lungs"]
    assert (diagnosis.probability, diagnosis.rule, diagnosis.lesion_labels) == (None, None, None)
    assert not any(finding.assessed for finding in diagnosis.slices)


def test_refusals_keep_a_study_from_being_assessed(diagnoser: Diagnoser) -> None:
    study = replace(phantom_study(SICK), plane="coronal", notices=(notice("colour-pictures", count=1, total=40),))
    diagnosis = diagnoser.run(study)
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert codes(diagnosis.reasons) == ["colour-pictures", "not-axial"]
    assert len(diagnosis.slices) == len(study)


def test_a_single_slice_is_not_assessable_but_its_findings_are_given(diagnoser: Diagnoser) -> None:
    diagnosis = diagnoser.run(study_of(to_grey(SICK.hu[20:21]), None))
    assert diagnosis.verdict is Verdict.NOT_ASSESSABLE
    assert diagnosis.probability is None
    assert diagnosis.slices[0].infected
    assert diagnosis.measures.lesion_count == 1


def test_progress_is_told_stage_by_stage(diagnoser: Diagnoser) -> None:
    notes = _Notes()
    diagnosis = diagnoser.run(phantom_study(SICK), notes)
    assert notes.names == ["finding the lungs", "classifying", "segmenting"]
    assessed = sum(finding.assessed for finding in diagnosis.slices)
    assert notes.stages[1:] == [[assessed, assessed], [assessed, assessed]]
    assert {"lungs", "classify", "segment", "measure", "total"} <= set(diagnosis.timing_s)


def test_only_suspect_slices_are_outlined(weights: Path) -> None:
    def outlined(suspect_probability: float) -> int:
        settings = DiagnoserSettings(suspect_probability=suspect_probability)
        diagnosis = Diagnoser(weights, settings, threads=1).run(phantom_study(SICK))
        return sum(finding.lesion_area_mm2 is not None for finding in diagnosis.slices)

    everything, usual, sure = outlined(0.0), outlined(0.3), outlined(0.999)
    assert everything > usual > sure > 0


def test_a_pixel_counts_from_just_above_the_lesion_probability(weights: Path) -> None:
    counts = []
    for probability in (0.02, 0.5, 0.98, 1.0):
        settings = DiagnoserSettings(lesion_probability=probability)
        labels = Diagnoser(weights, settings, threads=1).run(phantom_study(SICK)).lesion_labels
        assert labels is not None
        counts.append(np.count_nonzero(labels))
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0


def test_the_rule_can_be_chosen(weights: Path) -> None:
    strict = DiagnoserSettings(rule=PatientRule(paper_threshold=100))
    assert Diagnoser(weights, strict, threads=1).run(phantom_study(SICK)).verdict is Verdict.NEGATIVE


@pytest.mark.parametrize("wrong", [{"suspect_probability": -0.1}, {"lesion_probability": 1.1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        DiagnoserSettings(**wrong)  # type: ignore[arg-type]


def test_a_precision_may_be_written_as_a_word() -> None:
    assert DiagnoserSettings(precision="fp32").precision is Precision.FP32  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bf16"):
        DiagnoserSettings(precision="bf16")  # type: ignore[arg-type]


def test_the_result_says_what_made_it(sick: Diagnosis, weights: Path) -> None:
    provenance = sick.provenance
    assert provenance.version == __version__
    for name in ("classifier", "segmenter"):
        assert provenance.weights[name] == {"file": f"{name}.onnx", "sha256": file_sha256(weights / f"{name}.onnx")}
    assert json.loads(json.dumps(provenance.settings))["rule"]["paper_threshold"] == 25


def test_the_same_study_gives_the_same_answer(diagnoser: Diagnoser, sick: Diagnosis) -> None:
    again = diagnoser.run(phantom_study(SICK))
    assert again.slices == sick.slices
    assert again.lesions == sick.lesions
    assert again.rule == sick.rule


def test_both_networks_can_see_each_slice_mirrored_as_well(diagnoser: Diagnoser) -> None:
    crops = np.random.default_rng(0).integers(70, 130, (6, *INPUT_SIZE), dtype=np.uint8)  # more than a batch
    crops[:, 40:90, 30:100] = 96
    told: list[int] = []
    plain = classify(diagnoser.classifier.network, crops)
    scores = classify(diagnoser.classifier.network, crops, told.append, mirrored=True)
    other = classify(diagnoser.classifier.network, crops[..., ::-1])
    np.testing.assert_allclose(scores.probabilities, (plain.probabilities + other.probabilities) / 2, rtol=1e-5)
    maps = (plain.activation_maps + other.activation_maps[..., ::-1]) / 2
    np.testing.assert_allclose(scores.activation_maps, maps, atol=1e-6)
    assert scores.activation_maps.max() > 0.5
    assert sum(told) == 6
    everywhere = np.ones(crops.shape, bool)
    found = segment(diagnoser.segmenter.network, crops, everywhere, mirrored=True)
    one_way = segment(diagnoser.segmenter.network, crops, everywhere)
    other_way = segment(diagnoser.segmenter.network, crops[..., ::-1], everywhere)[..., ::-1]
    np.testing.assert_allclose(found, (one_way + other_way) / 2, atol=1e-6)
    assert found[:, 50:80, 40:90].min() > 0.9
    assert segment(diagnoser.segmenter.network, crops[:0], everywhere[:0]).shape == (0, *INPUT_SIZE)


def test_opacity_that_does_not_reach_the_lungs_is_dropped_and_one_that_does_is_kept_whole(
    diagnoser: Diagnoser,
) -> None:
    crops = np.full((1, *INPUT_SIZE), 200, np.uint8)
    crops[0, 20:50, 20:60] = 96
    crops[0, 60:90, 100:130] = 96
    region = np.zeros(crops.shape, bool)
    region[0, 20:50, 20:30] = True
    found = segment(diagnoser.segmenter.network, crops, region)[0]
    assert found[25:45, 25:55].min() > 0.9
    assert found[65:85, 105:125].max() == 0


def test_the_lungs_of_a_result_hold_all_opacities_and_shares_are_of_them(sick: Diagnosis) -> None:
    assert sick.lung_mask is not None
    assert sick.lesion_labels is not None
    lesions = np.asarray(sick.lesion_labels) > 0
    assert not (lesions & ~np.asarray(sick.lung_mask)).any()
    assert sick.measures.lesion_share_of_lung == pytest.approx(lesions.sum() / np.asarray(sick.lung_mask).sum())
    right, left = sick.measures.lungs
    assert right.lesion_volume_ml == pytest.approx(LESIONS[1].volume_ml, rel=0.15)
    assert left.lesion_volume_ml == pytest.approx(LESIONS[0].volume_ml, rel=0.15)
    assert [lesion.zone for lesion in sick.lesions] == ["left middle", "right lower"]
    assert sick.measures.severity is not None
    assert sick.measures.severity.total is not None


def test_given_lungs_win(diagnoser: Diagnoser) -> None:
    upper = SICK.lung_mask.copy()
    upper[: len(upper) // 2] = False  # half of the left opacity lies in it, none of the right one
    diagnosis = diagnoser.run(phantom_study(SICK), given=GivenMasks(lungs=upper))
    assert diagnosis.lung_mask is not None
    assert diagnosis.lesion_labels is not None
    assert np.array_equal(diagnosis.lung_mask, upper)
    assert not (np.asarray(diagnosis.lesion_labels) > 0)[~upper].any()
    assert diagnosis.measures.lung_volume_ml == pytest.approx(SICK.lung_ml / 2, rel=0.02)
    assert diagnosis.measures.lesion_volume_ml == pytest.approx(LESIONS[0].volume_ml / 2, rel=0.15)
    assert 50 < values_of(diagnosis.warnings, "opacities-outside-lungs")["percent"] < 100  # type: ignore[operator]
    assert diagnosis.provenance.settings["given_masks"] == ["lungs"]


def test_given_lobes_are_what_is_scored(diagnoser: Diagnoser) -> None:
    lobes = np.zeros(SICK.shape, np.uint8)
    back = np.broadcast_to(np.arange(128)[:, None] >= 64, SICK.shape)
    left = np.broadcast_to(np.arange(128) >= 64, SICK.shape)
    for label, part in ((1, left & ~back), (2, left & back), (3, ~left & ~back), (5, ~left & back)):
        lobes[part & SICK.lung_mask] = label
    diagnosis = diagnoser.run(phantom_study(SICK), given=GivenMasks(lobes=lobes))
    measures = diagnosis.measures
    assert measures.severity is not None
    assert measures.severity.basis == "lobes"
    assert measures.severity.total is None, "the right middle lobe was not given"
    assert measures.lobes[1].lesion_volume_ml is not None
    assert measures.lobes[0].lesion_volume_ml is not None
    assert measures.lobes[1].lesion_volume_ml > measures.lobes[0].lesion_volume_ml  # its centre lies 5 mm to the back
    assert diagnosis.lesions[0].lobe == "left lower lobe"


def test_lobes_decide_the_side_in_the_measures_and_in_the_masks_alike(diagnoser: Diagnoser) -> None:
    lobes = np.where(SICK.lung_mask, 5, 0).astype(np.uint8)  # all of it right, whatever the columns say
    lobes[:20][SICK.lung_mask[:20]] = 2
    diagnosis = diagnoser.run(replace(phantom_study(SICK), plane="axial"), given=GivenMasks(lobes=lobes))
    assert diagnosis.lung_sides is not None
    for label, lung in zip((1, 2), diagnosis.measures.lungs, strict=True):
        volume = np.count_nonzero(np.asarray(diagnosis.lung_sides) == label) * 5 * 2.6 * 2.6 / 1000
        assert lung.lung_volume_ml == pytest.approx(volume)
    assert (np.asarray(diagnosis.lung_sides)[:20][SICK.lung_mask[:20]] == 2).all()


def test_given_masks_of_pictures_are_turned_with_them(diagnoser: Diagnoser) -> None:
    lying = np.ascontiguousarray(np.rot90(to_grey(SICK.hu), -1, (1, 2)))
    lungs = np.ascontiguousarray(np.rot90(SICK.lung_mask, -1, (1, 2)))
    diagnosis = diagnoser.run(study_of(lying, None), given=GivenMasks(lungs=lungs))
    assert "quarter-turn" in codes(diagnosis.notices)
    assert diagnosis.lung_mask is not None
    assert np.array_equal(diagnosis.lung_mask, SICK.lung_mask)


def test_a_mask_of_another_shape_is_refused(diagnoser: Diagnoser) -> None:
    with pytest.raises(UsageError, match="on the study's own grid"):
        diagnoser.run(phantom_study(SICK), given=GivenMasks(lungs=SICK.lung_mask[1:]))


def test_intervals_are_around_the_volumes_where_the_weights_hold_thresholds(tmp_path: Path, sick: Diagnosis) -> None:
    folder = write_weights(tmp_path)
    write_fitted(folder, "segmenter", "area_thresholds", {"lower": 0.02, "upper": 0.98, "coverage": 0.9}, "nothing")
    diagnosis = Diagnoser(folder, threads=1).run(phantom_study(SICK))
    assert diagnosis.measures.lesion_volume_ml == sick.measures.lesion_volume_ml
    total, share = diagnosis.measures.lesion_volume_interval_ml, diagnosis.measures.lesion_share_interval
    assert total is not None
    assert share is not None
    assert diagnosis.measures.lesion_share_of_lung is not None
    assert diagnosis.measures.lesion_volume_ml is not None
    assert total.low < diagnosis.measures.lesion_volume_ml < total.high
    assert total.low < SICK.lesion_ml < total.high
    assert share.low < diagnosis.measures.lesion_share_of_lung < share.high
    for lesion in diagnosis.lesions:
        assert lesion.volume_interval_ml is not None
        assert lesion.volume_ml is not None
        assert lesion.volume_interval_ml.low <= lesion.volume_ml <= lesion.volume_interval_ml.high
    assert diagnosis.provenance.settings["area_thresholds"] == {
        "lower": 0.02, "upper": 0.98, "coverage": 0.9, "measured": None
    }  # fmt: skip


def test_without_thresholds_or_beyond_them_there_are_no_intervals(tmp_path: Path, sick: Diagnosis) -> None:
    folder = write_weights(tmp_path)
    write_fitted(folder, "segmenter", "area_thresholds", {"lower": 0.3, "upper": 0.7, "coverage": 0.9}, "nothing")
    elsewhere = Diagnoser(folder, DiagnoserSettings(lesion_probability=0.9), threads=1).run(phantom_study(SICK))
    for diagnosis in (sick, elsewhere):
        assert diagnosis.lesions
        assert {lesion.voxels_interval for lesion in diagnosis.lesions} == {None}
        assert diagnosis.measures.lesion_volume_interval_ml is None
        assert diagnosis.measures.lesion_share_interval is None


def test_a_classifier_that_reads_opacities_explains_itself(sick: Diagnosis, diagnoser: Diagnoser) -> None:
    check = sick.explanation
    assert check is not None
    assert check.slices == sum(bool(finding.infected) for finding in sick.slices)
    assert check.times_chance_in_lungs is not None
    assert check.times_chance_in_lesions is not None
    assert check.times_chance_in_lungs > 1.5
    assert check.times_chance_in_lesions > 5
    assert not [code for code in codes(sick.warnings) if code.startswith("activation-outside")]
    assert diagnoser.run(phantom_study(HEALTHY)).explanation is None


def test_a_classifier_that_reads_the_body_is_warned_of(tmp_path: Path) -> None:
    folder = write_weights(tmp_path)
    # This one calls slices infected by soft tissue, which is 0.86 of the one form, and its map shows that.
    other = write_weights(tmp_path / "other", band=(0.8, 0.93))
    (folder / "classifier.onnx").write_bytes((other / "classifier.onnx").read_bytes())
    manifests = [json.loads((place / "manifest.json").read_text(encoding="utf-8")) for place in (folder, other)]
    manifests[0]["networks"]["classifier"] = manifests[1]["networks"]["classifier"]
    (folder / "manifest.json").write_text(json.dumps(manifests[0]), encoding="utf-8")
    diagnosis = Diagnoser(folder, threads=1).run(phantom_study(SICK))
    assert diagnosis.verdict is Verdict.POSITIVE
    assert diagnosis.explanation is not None
    assert diagnosis.explanation.in_lungs < diagnosis.explanation.chance_in_lungs
    assert "activation-outside-lungs" in codes(diagnosis.warnings)


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [((5.0, 6.0), Verdict.POSITIVE), ((0.1, 6.0), Verdict.POSITIVE), ((0.1, 0.2), Verdict.NOT_ASSESSABLE)],
)
def test_a_study_unlike_what_was_learned_from_is_warned_of_or_refused(
    levels: tuple[float, float], verdict: Verdict, tmp_path: Path
) -> None:
    folder = write_weights(tmp_path)
    path = folder / "classifier.typicality.npz"
    # So that atypicality is the root of the mean grey level, here 0.4 to 0.7.
    Typicality(np.zeros(2, np.float32), np.array([[2**0.5, 0], [0, 0]], np.float32)).save(path)
    kept: dict[str, float | str] = {
        "file": path.name,
        "sha256": file_sha256(path),
        "unusual": levels[0],
        "limit": levels[1],
    }
    write_fitted(folder, "classifier", "typicality", kept, "nothing")
    diagnosis = Diagnoser(folder, threads=1).run(phantom_study(SICK))
    assert diagnosis.verdict is verdict
    check = diagnosis.typicality
    assert check is not None
    assert 0.4 < check.median < 0.8
    assert check.slices_unusual == (check.slices if levels[0] < 0.4 else 0)
    told = {"slices-beyond-training", "unusual-slices"} & set(codes((*diagnosis.reasons, *diagnosis.warnings)))
    assert len(told) == (levels[0] < 0.4)
    assessed = [finding for finding in diagnosis.slices if finding.assessed]
    if verdict is Verdict.POSITIVE:
        assert np.median([finding.atypicality for finding in assessed]) == pytest.approx(check.median)
    else:
        assert not assessed
        assert diagnosis.probability is None


def test_typicality_of_other_features_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    folder = write_weights(tmp_path)
    path = folder / "classifier.typicality.npz"
    Typicality(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)).save(path)
    kept: dict[str, float | str] = {"file": path.name, "sha256": "0" * 64, "unusual": 1.0, "limit": 2.0}
    write_fitted(folder, "classifier", "typicality", kept, "nothing")
    with pytest.raises(WeightsError, match="damaged or was exchanged"):
        Diagnoser(folder, threads=1)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = write_weights(tmp_path / "weights")
    with (folder / "segmenter.onnx").open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(WeightsError, match="damaged or was exchanged"):
        Diagnoser(folder)
    (folder / "segmenter.onnx").unlink()
    with pytest.raises(WeightsError, match="cannot read the weights"):
        load_manifest(folder)


@pytest.mark.parametrize("manifest", ["", "{}", '{"networks": []}', '{"networks": {"classifier": {}}}'])
def test_a_folder_without_a_manifest_of_weights_is_refused(manifest: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"no readable manifest\.json"):
        Diagnoser(tmp_path)
    with pytest.raises(WeightsError, match=r"no readable manifest\.json"):
        Diagnoser(tmp_path / "nowhere")


def test_a_folder_without_a_segmenter_is_refused(tmp_path: Path) -> None:
    folder = write_weights(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["networks"]["segmenter"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(WeightsError, match="names no segmenter"):
        Diagnoser(folder)
