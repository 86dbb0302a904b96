"""The reproduction of the paper's tables: runs resume, other settings are refused, figures match those by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from experiments.reproduction.evaluated import Evaluated
from experiments.reproduction.page import write_page
from experiments.reproduction.parts import Figure, Table
from experiments.reproduction.plan import (
    ABLATION,
    COMPARED,
    CONTINUED,
    EVERY,
    JCS,
    JOINT,
    MAPS,
    PEERS,
    PRESETS,
    Preset,
    System,
    config_of,
)
from experiments.reproduction.runs import (
    HeldOutSlice,
    Reproduction,
    finished,
    held_out_slices,
    predictions,
    summary_of,
    train_all,
    trained,
)
from experiments.reproduction.scores import cost, scores
from experiments.reproduction.tables import published, ranking, table_5
from numpy.typing import NDArray

from jcs_ct.datasets.normalized import NormalizedSlice
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import JcsError, UsageError
from jcs_ct.preprocessing import Box
from jcs_ct.training.config import load_config
from tests.mini_data import write_mini_data

ROOT = Path(__file__).parents[1]
MINISEG = System("miniseg", "MiniSeg")


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory: pytest.TempPathFactory) -> Reproduction:
    """Phantoms as data, two steps a training."""
    folder = tmp_path_factory.mktemp("reproduce")
    return Reproduction(write_mini_data(folder / "data"), folder / "runs", preset=PRESETS["smoke"])


def one_slice(truth: NDArray[np.bool_]) -> HeldOutSlice:
    image = np.zeros(truth.shape, np.uint8)
    record = SliceRecord("covid-19-ct100", Path("x.png"), "test", True, "x")
    height, width = truth.shape
    return HeldOutSlice(record, NormalizedSlice(image, truth, truth, Box(0, height, 0, width)), truth)


def test_figures_are_those_computed_by_hand() -> None:
    truth = np.zeros((10, 10), bool)
    truth[:4, :5] = True  # 20 pixels
    called = np.zeros((10, 10), np.uint8)
    called[2:6, :5] = 255  # 20 pixels, 10 of them right
    found = scores([called, truth.astype(np.uint8) * 255], [one_slice(truth)] * 2)
    assert found.dice == pytest.approx([2 * 10 / 40, 1])
    assert found.iou == pytest.approx([10 / 30, 1])
    assert found.mae == pytest.approx([20 / 100, 0])
    assert found.dice_adaptive[1] == pytest.approx(1)
    assert found.e_measure[1] > found.e_measure[0]
    assert found.s_measure[1] == pytest.approx(1, abs=1e-6)


def test_the_adaptive_threshold_is_that_of_what_the_network_sees() -> None:
    truth = np.zeros((10, 10), bool)
    truth[:4, :5] = True
    values = np.where(truth, 200, 40).astype(np.uint8)
    values[9] = 90
    wide_truth, wide_values = np.zeros((40, 60), bool), np.zeros((40, 60), np.uint8)
    wide_truth[20:30, 30:40], wide_values[20:30, 30:40] = truth, values
    within = one_slice(wide_truth)
    within = replace(within, normal=replace(within.normal, box=Box(20, 30, 30, 40)))
    found = scores([values, wide_values], [one_slice(truth), within]).dice_adaptive
    assert found[0] == pytest.approx(found[1])


def test_the_threshold_is_a_half() -> None:
    truth = np.zeros((8, 8), bool)
    truth[:4] = True
    values = np.where(truth, 128, 127).astype(np.uint8)
    assert scores([values], [one_slice(truth)]).dice == pytest.approx([1])
    assert scores([np.where(truth, 127, 126).astype(np.uint8)], [one_slice(truth)]).dice == pytest.approx([0])


def test_every_system_of_the_paper_is_there_with_the_papers_figures() -> None:
    assert [s.paper[0] for s in ABLATION if s.paper] == [71.0, 74.3, 75.9, 77.5]
    assert {s.label: s.paper[0] for s in PEERS if s.paper} == {
        "U-Net": 65.1, "DSS": 65.7, "EGNet": 69.3, "PoolNet": 69.7,
    }  # fmt: skip
    assert JOINT in COMPARED
    assert len({system.key for system in EVERY}) == len(EVERY)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
@pytest.mark.parametrize("system", EVERY, ids=[system.key for system in EVERY])
def test_every_system_has_settings_in_every_preset(system: System, preset: Preset) -> None:
    assert config_of(system, preset, 1, {}, "32-true").seed == 1


def test_the_papers_recipe_is_the_papers() -> None:
    segmenter = config_of(JCS, PRESETS["paper"], 0, {}, "bf16-mixed")
    assert (segmenter.optimiser, segmenter.learning_rate, segmenter.schedule) == ("adam", 2.5e-5, "poly")
    assert (segmenter.steps, segmenter.batch_size, segmenter.input_size) == (21_000, 4, (512, 512))
    classifier = config_of(MAPS[2], PRESETS["paper"], 0, {}, "bf16-mixed")
    assert (classifier.optimiser, classifier.learning_rate, classifier.schedule) == ("sgd", 0.1, "step")
    assert (classifier.batch_size, classifier.input_size, classifier.mixing) == (256, (224, 224), 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("system", [JCS, MAPS[2]], ids=["segmenter", "classifier"])
def test_the_papers_preset_takes_some_steps_on_a_cpu(
    reproduction: Reproduction, tmp_path: Path, system: System
) -> None:
    paper = PRESETS["paper"]
    # On slices of 512 x 512, two steps of one core take many minutes.
    short = {"steps": 2, "validate_every": 2}
    classifier = paper.classifier_settings | short | {"input_size": (64, 64)}
    preset = replace(
        paper, input_size=(96, 96), settings=paper.settings | short, classifier_settings=classifier, explained_factor=1
    )
    folder = trained(system, 0, replace(reproduction, output=tmp_path, preset=preset))
    assert summary_of(folder)["kept_step"] == 2
    shutil.rmtree(folder)


def test_a_finished_run_is_not_trained_again(reproduction: Reproduction) -> None:
    folder = trained(MINISEG, 0, reproduction)
    before = (folder / "segmenter.safetensors").stat().st_mtime_ns
    assert trained(MINISEG, 0, reproduction) == folder
    assert (folder / "segmenter.safetensors").stat().st_mtime_ns == before


def test_a_run_of_other_settings_is_refused(reproduction: Reproduction) -> None:
    trained(MINISEG, 0, reproduction)
    longer = replace(reproduction.preset, settings={**reproduction.preset.settings, "learning_rate": 0.5})
    with pytest.raises(UsageError, match="other settings"):
        trained(MINISEG, 0, replace(reproduction, preset=longer))


def test_an_interrupted_run_is_resumed(reproduction: Reproduction, tmp_path: Path) -> None:
    elsewhere = replace(reproduction, output=tmp_path)
    folder = trained(MINISEG, 0, elsewhere)
    (folder / "summary.json").unlink()  # as if it had been stopped before its end
    assert (trained(MINISEG, 0, elsewhere) / "summary.json").exists()


@pytest.mark.slow
def test_only_missing_runs_are_trained_in_parallel(reproduction: Reproduction, tmp_path: Path) -> None:
    elsewhere = replace(reproduction, output=tmp_path, workers=2)
    there = trained(MINISEG, 0, elsewhere) / "segmenter.safetensors"
    before = there.stat().st_mtime_ns
    train_all([(MINISEG, 0), (MINISEG, 1), (CONTINUED, 0)], elsewhere, "runs")
    assert there.stat().st_mtime_ns == before
    assert all(finished(system, seed, elsewhere) for system, seed in [(MINISEG, 1), (CONTINUED, 0), (JCS, 0)])
    # What it goes on from, and for as long as the joint model.
    config = load_config(trained(CONTINUED, 0, elsewhere) / "config.yaml")
    assert Path(config.init["segmenter"]).parent == trained(JCS, 0, elsewhere)
    assert config.steps == reproduction.preset.joint_steps


def test_an_error_in_a_parallel_run_reaches_the_caller(reproduction: Reproduction, tmp_path: Path) -> None:
    nowhere = replace(reproduction, data=tmp_path / "nowhere", output=tmp_path, workers=2)
    with pytest.raises(JcsError):
        train_all([(MINISEG, 0), (MINISEG, 1)], nowhere, "runs")


def test_a_peer_is_held_against_what_was_published_for_it(reproduction: Reproduction) -> None:
    evaluated = Evaluated(reproduction, held_out_slices(reproduction))
    truth = [one.truth.astype(np.uint8) * 255 for one in evaluated.slices]
    perfect = scores(truth, evaluated.slices)
    nothing = scores([np.zeros_like(one) for one in truth], evaluated.slices)
    evaluated.kept = {system.key: [nothing] for system in PEERS} | {"infnet": [perfect], JCS.key: [perfect]}
    assert "U-Net does not reach its published figure" in published(evaluated)
    assert "Inf-Net, Res2Net reaches its published figure" in published(evaluated)
    said = ranking(evaluated)
    ahead, behind = said.split("It is not ahead of:")
    assert "U-Net (+100.0; +100.0 to +100.0)" in ahead
    assert behind.strip() == f"Inf-Net, Res2Net (+0.0; +0.0 to +0.0). {JCS.shortfall}"


def test_predictions_are_kept_and_lie_on_the_slices(reproduction: Reproduction) -> None:
    slices = held_out_slices(reproduction)
    values = predictions(MINISEG, 0, reproduction, slices)
    assert [v.shape for v in values] == [one.truth.shape for one in slices]
    again = predictions(MINISEG, 0, reproduction, slices)
    assert all(np.array_equal(a, b) for a, b in zip(values, again, strict=True))


def test_cost_counts_what_is_known() -> None:
    found = cost(MINISEG, PRESETS["smoke"], repetitions=1)
    assert found.parameters == 82_492
    assert found.flops > 1e6
    assert found.seconds > 0


def test_the_ablation_becomes_a_table(reproduction: Reproduction) -> None:
    evaluated = Evaluated(reproduction, held_out_slices(reproduction))
    table = table_5(evaluated)
    assert [row[0] for row in table.rows] == [system.label for system in ABLATION]
    assert all(len(row) == len(table.head) for row in table.rows)
    assert JCS.key in evaluated.kept


@pytest.mark.slow
def test_everything_runs_from_the_command_line(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "experiments/reproduce.py", "all", "--preset", "smoke", "--data", str(shared_data)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "runs"), "--page", str(tmp_path / "page")],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    text = (tmp_path / "page" / "README.md").read_text(encoding="utf-8")
    for title in (
        "Table II:",
        "Table IV:",
        "Table V:",
        "Table VI:",
        "Table VII:",
        "Five folds",
        "Figure 6",
        "Figure 8",
        "Figure 9",
        "Figure 10",
        "Figure 11",
        "worst",
    ):
        assert title in text
    assert len(list((tmp_path / "page").glob("*.png"))) == 7
    shutil.rmtree(tmp_path / "runs")


def test_the_page_shows_tables_and_figures_twice(tmp_path: Path) -> None:
    table = Table("t", "Table V: parts", "how", ("a", "b"), [("1", "2")])
    figure = Figure("figure9", "Figure 9", "caption", "figure9.png")
    for path in write_page([table], [figure], tmp_path / "page", "--preset cpu"):
        text = path.read_text(encoding="utf-8")
        assert all(part in text for part in ("--preset cpu", "Table V: parts", "how", "figure9.png", "caption"))


def test_data_that_are_not_there_are_an_error_of_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "experiments/reproduce.py", "table5", "--preset", "smoke", "--data", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().startswith("error: no folder")
