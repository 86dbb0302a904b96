"""`jcs evaluate` on a user's own folder: figures whose truth is known, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from jcs_ct.weights import load_manifest, write_fitted
from tests import own_data
from tests.command_line import CommandLine
from tests.opacity_networks import write_weights
from tests.own_data import Row, picture, write_table


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks that mark ground glass."""
    return write_weights(tmp_path_factory.mktemp("weights"))


def test_opacities_of_own_pictures_are_held_against_the_masks(pictures: Path, weights: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "segmentation", "--data", pictures, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    outlined, clean = json.loads(ended.out)
    assert outlined["source"] == clean["source"] == pictures.name
    assert outlined["protocol"] == "split test, 4 slices, threshold 0.5"
    assert outlined["figures"]["dice_per_image"] > 0.5
    assert clean["protocol"] == "split test, 2 slices with lung and no opacity"
    assert clean["figures"] == {"falsely_marked": 0.0}


def test_the_area_that_a_reader_outlined_is_held_against_the_interval(
    pictures: Path, jcs: CommandLine, tmp_path: Path
) -> None:
    shares = []
    for name, lower, upper in (("wide", 0.0, 1.0), ("narrow", 0.5, 0.5)):
        folder = write_weights(tmp_path / name)
        write_fitted(
            folder, "segmenter", "area_thresholds", {"lower": lower, "upper": upper, "coverage": 0.9}, "nothing"
        )
        ended = jcs("evaluate", "segmentation", "--data", pictures, "--weights", folder, "--json")
        assert ended.code == 0, ended.err
        outlined = json.loads(ended.out)[0]
        shares.append(outlined["figures"]["area_in_interval"])
        assert "area_in_interval" in outlined["intervals_95"]
    assert shares[0] == 1  # from nothing to all that the network has any doubt of
    assert shares[1] <= 0.5


def test_thresholds_are_fitted_on_validation_slices_and_kept(jcs: CommandLine, tmp_path: Path) -> None:
    weights, own = write_weights(tmp_path / "weights"), tmp_path / "own"
    rows = [picture(own, 80 + k, True, "val", number) for k in range(7) for number in (-1, 0, 1)]
    rows += [picture(own, 90, True, "test"), picture(own, 91, True, "train")]
    write_table(own, rows[3:])
    ended = jcs("calibrate", "--weights", weights, "--data", own, "--only", "intervals")
    assert ended.code == 2
    assert "split val with outlined opacities: found 18 slices, expected at least 19" in ended.err
    assert load_manifest(weights)["segmenter"].area_thresholds is None
    write_table(own, rows)
    ended = jcs("calibrate", "--weights", weights, "--data", own, "--only", "intervals")
    assert ended.code == 0, ended.err
    assert "fitted on own, split val, 21 slices; measured on 1 slices of split test" in ended.out
    found = load_manifest(weights)["segmenter"].area_thresholds
    assert found is not None
    assert found["lower"] <= 0.5 <= found["upper"]
    assert found["coverage"] == 0.9


def test_thresholds_of_weights_that_know_the_validation_slices_are_set(
    pictures: Path, jcs: CommandLine, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path)
    given = ("calibrate", "--weights", weights, "--data", pictures)
    ended = jcs(*given, "--only", "intervals", "--between", "0", "1")
    assert ended.code == 0, ended.err
    assert "thresholds 0 and 1, found 100% on test slices; fitted on set beforehand; measured on 4 slices" in ended.out
    found = load_manifest(weights)["segmenter"].area_thresholds
    assert found == {"lower": 0.0, "upper": 1.0, "coverage": None, "measured": 1.0}
    ended = jcs(*given, "--only", "intervals", "--between", "0.6", "0.9")
    assert (ended.code, "expected thresholds around 0.5, found 0.6 and 0.9" in ended.err) == (2, True)
    ended = jcs(*given, "--between", "0.1", "0.9")
    assert (ended.code, "expected it with --only intervals alone" in ended.err) == (2, True)


def test_slices_and_patients_of_own_pictures_are_told_apart(pictures: Path, weights: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "classification", "--data", pictures, "--weights", weights, "--split", "val")
    assert ended.code == 0, ended.err
    assert f"{pictures.name} (split val, 6 slices)" in ended.out
    shown = {line.split()[0]: line.split()[1] for line in ended.out.splitlines()[1:]}
    assert float(shown.pop("slice_ece")) < 0.2
    assert float(shown.pop("slice_brier")) < 0.1
    assert float(shown.pop("group_ece")) < 0.2
    assert float(shown.pop("group_brier")) < 0.1
    assert shown == {
        "slice_auc": "1", "slice_sensitivity": "1", "slice_specificity": "1", "groups": "4", "group_auc": "1"
    }  # fmt: skip


def test_probabilities_are_drawn_against_what_came_true(
    pictures: Path, weights: Path, jcs: CommandLine, tmp_path: Path
) -> None:
    ended = jcs("evaluate", "classification", "--data", pictures, "--weights", weights, "-o", tmp_path / "plots")
    assert ended.code == 0, ended.err
    with Image.open(tmp_path / "plots" / f"{pictures.name}-reliability.png") as plot:
        assert min(plot.size) > 300
    assert (tmp_path / "plots" / f"{pictures.name}-reliability-groups.png").exists()


def test_a_map_that_shows_the_opacities_is_far_above_chance(pictures: Path, weights: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "localisation", "--data", pictures, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    (trial,) = json.loads(ended.out)
    assert trial["protocol"] == "split test, 4 slices with outlined opacities"
    figures = trial["figures"]
    assert figures["pointing_game"] == 1
    assert figures["times_chance"] > 3
    assert figures["times_chance"] == pytest.approx(figures["energy_in_lesions"] / figures["chance"])
    assert trial["intervals_95"]["pointing_game"] == [1, 1]


def test_a_classifier_that_reads_lungs_knows_nothing_without_them(
    pictures: Path, weights: Path, jcs: CommandLine
) -> None:
    ended = jcs("evaluate", "shortcut", "--data", pictures, "--weights", weights, "--split", "train", "--json")
    assert ended.code == 0, ended.err
    (trial,) = json.loads(ended.out)
    assert trial["figures"] == {
        "auc_whole": 1, "auc_lungs_only": 1, "auc_without_lungs": pytest.approx(0.5, abs=0.2)
    }  # fmt: skip


def test_whole_studies_are_evaluated_slice_by_slice(studies: Path, weights: Path, jcs: CommandLine) -> None:
    ended = jcs("evaluate", "segmentation", "--data", studies, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    outlined, clean = json.loads(ended.out)
    assert outlined["figures"]["dice_per_image"] > 0.4
    assert clean["figures"]["falsely_marked"] < 0.2
    ended = jcs("evaluate", "classification", "--data", studies, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    (trial,) = json.loads(ended.out)
    assert trial["figures"]["groups"] == 2
    assert trial["figures"]["group_auc"] == 1


def test_a_mask_tells_the_label_that_the_table_leaves_open(tmp_path: Path, weights: Path, jcs: CommandLine) -> None:
    rows = own_data.write_own(tmp_path)
    for row in rows:
        row.infected = "" if row.mask else row.infected
    own_data.write_table(tmp_path, rows)
    ended = jcs("evaluate", "classification", "--data", tmp_path, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)[0]["figures"]["slice_auc"] == 1


def test_usual_slices_are_fitted_and_strange_ones_refused(jcs: CommandLine, tmp_path: Path) -> None:
    weights, own = write_weights(tmp_path / "weights"), tmp_path / "own"
    rows = [picture(own, 80 + k, k % 2 == 0, split) for k, split in enumerate(["train"] * 8 + ["val"] * 4)]
    write_table(own, [*rows, picture(own, 95, True, "test"), picture(own, 96, False, "test")])
    assert "holds no typicality" in jcs("evaluate", "typicality", "--data", own, "--weights", weights).refusal()
    ended = jcs("calibrate", "--weights", weights, "--data", own, "--only", "typicality")
    assert ended.code == 0, ended.err
    assert "fitted on own; levels by 4 slices of their split val" in ended.out
    kept = load_manifest(weights)["classifier"].typicality
    assert kept is not None
    assert 0 < kept.unusual <= kept.limit
    ended = jcs("evaluate", "typicality", "--data", own, "--weights", weights, "--split", "val", "--json")
    assert ended.code == 0, ended.err
    usual, strange = (trial["figures"] for trial in json.loads(ended.out))
    assert usual["groups"] == 4
    assert usual["beyond"] <= 0.25  # the farthest of four lies beyond their 99th percentile
    # These networks tell grey levels and opacities only, and so know a picture by its brightness.
    assert strange["beyond_bright"] == strange["beyond_dark"] == 1
    assert strange["beyond_upside_down"] == usual["beyond"]
    assert 0 < strange["kinds_refused"] <= strange["kinds_refused_or_warned_of"] < strange["kinds"]


def test_what_both_networks_say_is_held_against_the_labels(pictures: Path, jcs: CommandLine, tmp_path: Path) -> None:
    found = []
    for name, share in (("sees", 0.004), ("misses", 0.9)):
        folder = write_weights(tmp_path / name, suspicious_share=share)
        ended = jcs("evaluate", "agreement", "--data", pictures, "--weights", folder, "--json")
        assert ended.code == 0, ended.err
        (one,) = json.loads(ended.out)
        found.append(one["figures"])
    sees, misses = found
    assert sees["slices_on_which_both_agree"] > misses["slices_on_which_both_agree"]
    assert sees["error"] == sees["error_where_both_agree"] == 0
    assert misses["error_where_they_disagree"] == 1  # all that is marked is infected, and all are missed
    assert misses["infected_of_those_called_uninfected_and_marked"] == 1
    assert misses["missed_slices_that_are_marked"] > 0
    assert misses["auc_of_segmenter"] == 1
    assert misses["infected_of_those_called_infected_and_marked"] is None


def test_leaving_out_the_doubtful_is_drawn_and_counted(
    pictures: Path, weights: Path, jcs: CommandLine, tmp_path: Path
) -> None:
    call = ("evaluate", "coverage", "--data", pictures, "--weights", weights, "-o", tmp_path, "--json")
    ended = jcs(*call, "--split", "val")
    assert ended.code == 0, ended.err
    slices, groups = json.loads(ended.out)
    assert groups["protocol"] == "split val, 4 groups by their mean"
    assert slices["figures"]["error"] == slices["figures"]["area_by_confidence"] == 0
    assert slices["figures"]["auc_of_errors_by_confidence"] is None
    with Image.open(tmp_path / f"{pictures.name}-coverage.png") as plot:
        assert min(plot.size) > 300


def mirrored_copy(folder: Path, rows: list[Row]) -> None:
    """A training picture, mirrored, under another patient's name among those that test."""
    with Image.open(folder / rows[0].path) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "copy.png")
    rows.append(Row("copy.png", "someone else", "test", "1"))


def test_figures_of_a_leaked_split_are_refused_unless_the_user_knows_better(
    tmp_path: Path, weights: Path, jcs: CommandLine
) -> None:
    folder, out = tmp_path / "mine", tmp_path / "out"
    rows = own_data.write_own(folder)
    mirrored_copy(folder, rows)
    own_data.write_table(folder, rows)
    call = ("evaluate", "classification", "--data", folder, "--weights", weights, "-o", out)
    said = jcs(*call).refusal()
    assert "copy.png (test)" in said
    assert "p0-0.png (train)" in said
    assert f"they are drawn in {out / 'similar.png'}" in said
    with Image.open(out / "similar.png") as sheet:
        assert sheet.width == 640
    ended = jcs(*call, "--allow-similar")
    assert ended.code == 0, ended.err
    assert "split test, 7 slices" in ended.out


def only_infected(rows: list[Row]) -> None:
    rows[:] = [row for row in rows if row.infected == "1"]


def without_masks(rows: list[Row]) -> None:
    for row in rows:
        row.mask = ""


def without_test(rows: list[Row]) -> None:
    rows[:] = [row for row in rows if row.split != "test"]


@pytest.mark.parametrize(
    ("trial", "change", "message"),
    [
        ("classification", only_infected, "the split 'test' has infected pictures and studies only"),
        ("segmentation", without_masks, "the split 'test' has no slice with an outlined opacity"),
        ("segmentation", without_test, "has no slices in the split 'test'"),
    ],
)
def test_a_split_that_cannot_answer_is_refused(
    trial: str, change: Callable[[list[Row]], None], message: str, tmp_path: Path, weights: Path, jcs: CommandLine
) -> None:
    rows = own_data.write_own(tmp_path)
    change(rows)
    own_data.write_table(tmp_path, rows)
    assert message in jcs("evaluate", trial, "--data", tmp_path, "--weights", weights).refusal()
