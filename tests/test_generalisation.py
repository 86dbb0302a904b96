"""Cross-validation by patient and by source: no evaluated slice was trained on, figures match those by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from experiments.generalisation import PROTOCOLS, as_markdown, generalise
from experiments.generalising import authors_split, folds, left_out, outlines, within_source
from experiments.generalising import results as protocol_results
from experiments.generalising.evidence import Evidence, from_origins
from experiments.generalising.figures import best_rule, group_figures, slice_figures
from experiments.generalising.folds import fold_config
from experiments.generalising.left_out import LEFT_OUT, left_out_config
from experiments.generalising.lung_features import fitted, lung_features, pooled
from experiments.generalising.outlines import outlines_config
from experiments.generalising.readings import READINGS, best_reading
from experiments.generalising.results import Result
from experiments.generalising.runs import labelled_slices, train_runs
from experiments.workspace import Workspace

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.errors import UsageError
from tests.imagenet import write_imagenet
from tests.mini_data import write_mini_data

SHORT = {"steps": 1, "validate_every": 1, "input_size": (64, 80), "precision": "32-true"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Phantoms as data, one step a training, random weights as those of ImageNet."""
    folder = tmp_path_factory.mktemp("generalisation")
    write_imagenet(folder / "imagenet.safetensors")
    return Workspace(write_mini_data(folder / "data"), folder / "runs", folder / "imagenet.safetensors", settings=SHORT)


@pytest.mark.parametrize(("left_out", "empty"), LEFT_OUT.items())
def test_nothing_of_a_source_that_is_left_out_is_seen(left_out: str, empty: str, tmp_path: Path) -> None:
    config = left_out_config(empty, Workspace(tmp_path, tmp_path, tmp_path / "imagenet"))
    seen = {source for group in config.batch for source in group.sources} | set(config.validation)
    assert seen == {"covid-19-ct100", empty}
    assert left_out not in seen
    assert all(group.kind in ("masked", "uninfected") for group in config.batch), "no label of an infected slice"
    assert config.pseudo_masks is None


def test_each_group_of_the_folded_source_is_evaluated_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path, tmp_path)
    names = [fold_config(number, workspace).fold for number in range(1, 6)]
    assert names == [f"sars-cov-2-ct:{number}of5" for number in range(1, 6)]
    assert [outlines_config(k, workspace).fold for k in range(1, 6)] == [f"covid-19-ct100:{k}of5" for k in range(1, 6)]
    assert outlines_config(1, workspace).train_on_validation == ("covid-19-ct100",), "four of five parts teach"


def test_readings_as_computed_by_hand() -> None:
    lung = np.zeros((1, 40, 40), bool)
    lung[0, 10:30, 10:30] = True
    marks = np.zeros((1, 40, 40), np.float32)
    marks[0, 10:20, 10:20], marks[0, :5] = 0.4, 1.0  # 100 of 400 pixels of the lungs, and more outside of them
    marks[0, 10, 10:15] = 1.0
    found = {name: float(read(marks, lung)[0]) for name, read in READINGS.items()}
    assert found["lesion burden"] == pytest.approx((95 * 0.4 + 5) / 400 + 0.002, abs=1e-6)
    assert found["share above 0.3"] == pytest.approx(100 / 400 + 0.002, abs=1e-6)
    assert found["share above 0.5"] == pytest.approx(5 / 400 + 0.002, abs=1e-6)
    assert found["surest 10 pixels"] == pytest.approx((5 + 5 * 0.4) / 10, abs=1e-6)
    assert found["surest 200 pixels"] == pytest.approx((5 + 95 * 0.4) / 200, abs=1e-6)


def test_groups_are_scored_by_the_mean_of_their_slices() -> None:
    said = np.array([0.9, 0.1, 0.8, 0.6, 0.2, 0.2], np.float32)
    truth = np.array([True, True, True, False, False, False])
    groups = np.array(["a", "a", "b", "c", "d", "d"])
    slices, by_group = slice_figures(said, truth, groups), group_figures(said, truth, groups)
    assert slices["AUC"] == pytest.approx(6 / 9)  # 0.1 is below all three, 0.9 and 0.8 above
    assert by_group["groups"] == 4
    assert by_group["AUC"] == pytest.approx(3 / 4)  # 0.5 and 0.8 against 0.6 and 0.2
    assert by_group["sensitivity at specificity 1.000 (probability above 0.600)"] == pytest.approx(0.5)
    assert by_group["specificity at 0.5"] == pytest.approx(0.5)


def test_rule_for_groups_is_the_one_that_tells_known_groups_best() -> None:
    """Of the infected group three slices of eight are suspicious: its mean and its median say nothing, they do."""
    said = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.6, 0.6, 0.6, 0.2], np.float32)
    groups = np.array(["few"] * 8 + ["none"] * 4)
    truth = groups == "few"
    rule = best_rule([(said, truth, groups)])
    assert rule == "mean of the three highest"
    assert group_figures(said, truth, groups, rule)["AUC"] == 1
    assert group_figures(said, truth, groups)["AUC"] == 0


def test_evidence_is_added_in_the_spread_of_the_known_slices() -> None:
    loud = Evidence(np.array([0.0, 200.0]), np.array([100.0, 300.0]))
    soft = Evidence(np.array([-1.0, 1.0]), np.array([0.0, -1.0]))
    found = from_origins(lesion_marks=loud, lung_features=soft)
    assert list(found) == ["lesion marks", "lung features", "both"]
    assert found["lesion marks"] is loud
    np.testing.assert_allclose(found["both"].known, [-2, 2])
    np.testing.assert_allclose(found["both"].evaluated, [0, 2 - 1])
    known, evaluated = loud.probabilities(np.array([False, True]), np.array(["a", "b"]))
    assert 0 <= known[0] < 0.5 < known[1] <= 1
    assert 0 <= evaluated[0] <= evaluated[1] <= 1


def test_features_are_pooled_over_the_lungs_alone() -> None:
    features = torch.zeros(1, 2, 2, 2)
    features[0, 0], features[0, 1] = torch.tensor([[1.0, 9.0], [3.0, 9.0]]), 5.0
    lung = torch.zeros(1, 1, 4, 4)
    lung[0, 0, :, :2] = 1  # the left half
    mean_0, mean_1, largest_0, largest_1 = pooled(features, lung)[0].tolist()
    assert mean_0 == pytest.approx(2, rel=1e-3)
    assert mean_1 == pytest.approx(5, rel=1e-3)
    assert (largest_0, largest_1) == (3, 5), "the nines lie outside"


def test_sources_weigh_the_same_however_many_slices_they_have() -> None:
    random = np.random.default_rng(0)

    def source(count: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        features = random.normal(size=(count, 2)).astype(np.float32)
        return features, features[:, column] > 0

    large, small = source(2000, 0), source(40, 1)
    line = fitted([large, small], source(200, 1))
    gain = line(np.eye(2, dtype=np.float32)) - line(np.zeros((2, 2), np.float32))
    assert gain[1] > 0.5 * gain[0], "fifty times as many slices do not outvote the other source"


def test_the_reading_is_best_over_all_sources_that_are_known() -> None:
    lung = np.ones((4, 20, 20), bool)
    infected = np.array([1, 1, 0, 0], np.int8)

    def known(marks: np.ndarray) -> tuple[np.ndarray, PreparedSlices]:
        nothing = np.zeros(marks.shape, np.uint8)
        return marks, PreparedSlices(nothing, nothing, np.zeros(4, np.uint8), lung, infected, [])

    by_peak = np.full((4, 20, 20), 0.2, np.float32)
    by_peak[2:] = 0.25  # those without a lesion are greyer on the whole
    by_peak[:2, :4, :4] = 0.29  # a small lesion, too faint for a share above a limit
    assert best_reading([known(by_peak), known(by_peak)]) == "surest 10 pixels"
    by_share = np.zeros((4, 20, 20), np.float32)
    by_share[:, :3, :4] = 0.9
    by_share[:2, 5:15] = 0.4
    assert best_reading([known(by_share)]) == "lesion burden"


def _knowing(name: str, config: Any, slices: PreparedSlices, workspace: Workspace) -> np.ndarray:
    """In place of a network's predictions: infected slices are marked more than others, with noise."""
    assert (workspace.output / name / "segmenter.safetensors").exists()
    del config
    share = np.random.default_rng(0).uniform(0.1, 0.4, len(slices)) + 0.2 * (slices.infected == 1)
    return np.broadcast_to(share[:, None, None], slices.images.shape).astype(np.float32)


def _telling(slices: PreparedSlices, workspace: Workspace) -> np.ndarray:
    """In place of VGG-16 features, which mean nothing with random weights."""
    del workspace
    random = np.random.default_rng(len(slices))
    return np.asarray(random.normal(size=(len(slices), 3)) + (slices.infected == 1)[:, None], np.float32)


def test_features_of_a_source_are_kept(workspace: Workspace, tmp_path: Path) -> None:
    slices = labelled_slices("mosmed-slices", left_out_config("mosmed-slices", workspace), workspace)
    own = replace(workspace, output=tmp_path)
    first = lung_features(slices, own)
    assert first.shape == (len(slices), 2 * (256 + 512 + 512))
    (kept,) = (tmp_path / "features").glob("*.npy")
    np.save(kept, first + 1)
    np.testing.assert_array_equal(lung_features(slices, own), first + 1)
    lungless = replace(slices, lung_masks=np.zeros_like(slices.lung_masks))
    assert not lung_features(lungless, own).any(), "other lungs, other features: without any, none"


def test_all_protocols_are_trained_evaluated_and_written(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"mosmed-slices": "sars-cov-2-ct", "sars-cov-2-ct": "mosmed-slices"}
    for module in (folds, outlines):
        monkeypatch.setattr(module, "COUNT", 3)
    for module in (authors_split, left_out):
        monkeypatch.setattr(module, "LEFT_OUT", both | {"ucsd-covid-ct": "sars-cov-2-ct"})
    monkeypatch.setattr(left_out, "LEFT_OUT", both)
    monkeypatch.setattr(authors_split, "SPLIT", "sars-cov-2-ct")  # there are no phantoms of ucsd-covid-ct
    for module in (within_source, left_out):
        monkeypatch.setattr(module, "predict_run", _knowing)
        monkeypatch.setattr(module, "lung_features", _telling)
    without_ucsd = tmp_path / "configs"
    without_ucsd.mkdir()
    for path in protocol_results.CONFIGS.glob("*.yaml"):
        (without_ucsd / path.name).write_text(path.read_text(encoding="utf-8").replace(", ucsd-covid-ct", ""))
    monkeypatch.setattr(protocol_results, "CONFIGS", without_ucsd)
    generalise(list(PROTOCOLS), workspace, tmp_path)
    found = json.loads((tmp_path / "generalisation.json").read_text(encoding="utf-8"))
    assert [each["protocol"].split("by ")[-1] for each in found["folds"]] == [
        f"{by}; {what}" for by in ("lesion marks", "lung features", "both") for what in ("slices", "groups")
    ]
    assert {each["figures"].get("slices", each["figures"].get("groups")) for each in found["folds"]} == {12}, "once"
    readings = found["folds"][0]["figures"]["reading of each fold, chosen on another one"]
    assert len(readings.split(", ")) == 3
    assert [each["source"] for each in found["left-out"]] == list(both)
    assert {each["figures"]["reading"] for each in found["left-out"]} <= set(READINGS)
    assert len(found["authors-split"]) == 3
    assert [each["figures"]["slices"] for each in found["outlines"]] == [found["outlines"][0]["figures"]["slices"]] * 2
    page = (tmp_path / "generalisation.md").read_text(encoding="utf-8")
    at_a_glance = page.split("## At a glance")[1].split("## All figures")[0]
    assert at_a_glance.count("| `mosmed-slices` |") == 3, "by marks, by features, by both"
    assert at_a_glance.count("| Dice per image |") == 2
    with pytest.raises(UsageError, match="other settings"):
        train_runs({"fold1": fold_config(2, workspace)}, workspace)


def test_the_committed_page_is_that_of_the_committed_figures() -> None:
    docs = Path(__file__).parents[1] / "docs"
    kept = json.loads((docs / "generalisation.json").read_text(encoding="utf-8"))
    results = [Result(**each) for name in PROTOCOLS for each in kept[name]]
    assert (docs / "generalisation.md").read_text(encoding="utf-8") == as_markdown(results)
