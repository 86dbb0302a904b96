"""What each step gains: one addition at a time, in an order that can be trained, evaluated on unseen slices."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from experiments import steps
from experiments.generalising.readings import Probabilities
from experiments.generalising.runs import predict_slices
from experiments.steps import DICE, LABELLED, MARKED, POOLED, SHOWN_READINGS, STEPS, Figure, Row, auc_name
from experiments.workspace import Workspace

from jcs_ct.datasets.prepared import EMPTY_MASK, READER_MASK, PreparedSlices, prepare
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError, WeightsError
from jcs_ct.models import registry
from jcs_ct.training.augment import Augment
from jcs_ct.training.config import TrainConfig, load_config
from jcs_ct.training.files import RunPaths, save_weights
from jcs_ct.training.run import train
from jcs_ct.weights import SHIPPED
from tests.mini_data import write_mini_data

SHORT = {"steps": 1, "validate_every": 1, "input_size": (64, 80), "precision": "32-true"}
NAMES = [DICE, POOLED, MARKED, *(auc_name(source, one) for source in LABELLED for one in SHOWN_READINGS)]
MAY_CHANGE = {
    "masks": set(),
    "augmentation": {"augment"},
    "empty masks": {"batch"},
    "synthetic mimics": {"augment"},
    "own soft masks": {"batch", "pseudo_masks", "pseudo_limit"},
    "labels": {"batch", "burden_weight", "label_smoothing"},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Phantoms of all sources, one optimiser step a run, and a random encoder that all start from."""
    folder = tmp_path_factory.mktemp("steps")
    data = write_mini_data(folder / "data")
    shutil.copytree(data / "sars-cov-2-ct", data / "ucsd-covid-ct")  # laid out alike
    encoder = folder / "runs" / "encoder-default" / "encoder.safetensors"
    encoder.parent.mkdir(parents=True)
    save_weights(registry.segmenter("default").encoder, encoder)
    return Workspace(data, folder / "runs", folder / "imagenet.safetensors", settings=SHORT)


def _full(tmp_path: Path) -> dict[str, TrainConfig]:
    return steps.step_configs(Workspace(tmp_path, tmp_path / "runs", tmp_path / "imagenet"))


def test_each_step_changes_one_thing_and_no_batch_is_larger(tmp_path: Path) -> None:
    configs = list(_full(tmp_path).values())
    assert {config.batch_size for config in configs} == {8}
    for step, before, config in zip(STEPS, [configs[0], *configs], configs, strict=False):
        names = [own.name for own in dataclasses.fields(TrainConfig)]
        changed = {name for name in names if getattr(before, name) != getattr(config, name)}
        assert changed == MAY_CHANGE[step.name]


def test_the_first_step_changes_no_picture(tmp_path: Path) -> None:
    image = torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(0)).clamp_min(1e-3)
    first = _full(tmp_path)["masks"].augment
    same, mask = Augment(first)(image, image, torch.Generator().manual_seed(1))
    assert torch.allclose(same, image, atol=1e-5)
    assert torch.allclose(mask, image, atol=1e-5)
    assert first.domes == first.thick == 0


def test_evaluated_slices_are_neither_trained_on_nor_used_for_choices(tmp_path: Path) -> None:
    for config in _full(tmp_path).values():
        assert config.validation == ("covid-19-ct100",)
        assert not config.train_on_validation
    assert all(split == "test" for source, split in steps.SPLITS.items() if source != "mosmed-slices")
    assert steps.SPLITS["mosmed-slices"] == "val"


def _slices(lung: np.ndarray, masks: np.ndarray, infected: list[int]) -> PreparedSlices:
    """Slices of as many patients."""
    records = [SliceRecord("made", Path("a.png"), "test", label == 1, f"{k}") for k, label in enumerate(infected)]
    kinds = np.array([READER_MASK if label else EMPTY_MASK for label in infected], np.uint8)
    return PreparedSlices(np.zeros_like(masks), masks, kinds, lung, np.array(infected, np.int8), records)


def test_figures_as_computed_by_hand() -> None:
    lung = np.zeros((4, 40, 40), bool)
    lung[:, 10:30, 10:30] = True  # 400 pixels
    said, masks = np.zeros(lung.shape, np.float32), np.zeros(lung.shape, np.uint8)
    said[0, 10:20, 10:20], masks[0, 10:20, 10:15] = 0.9, 255  # 50 of 100 pixels
    said[1, 10:20, 10:30], masks[1, 10:20, 10:30] = 0.8, 255  # all 200
    said[2, 10, 10:14] = 0.7  # 4 pixels are 1 % of the lungs, and no more
    said[3, 10, 10:15] = 0.7
    slices = _slices(lung, masks, [1, 1, 0, 0])
    found = steps.outlines(said[:2], slices.subset(np.array([True, True, False, False])))
    assert found[DICE].value == pytest.approx((100 / 150 + 1) / 2)
    assert found[POOLED].value == pytest.approx(2 * 250 / (150 + 400))
    assert (found[DICE].low, found[DICE].high) == pytest.approx((100 / 150, 1.0))
    assert steps.falsely_marked(said, slices).value == 0.5
    said[3, 10:20, 10:30] = 0.95  # surest of all, though it is not infected
    by_reading = steps.aucs("made", said, slices)
    assert by_reading[auc_name("made", "lesion burden")].value == pytest.approx(0.5)
    assert by_reading[auc_name("made", "surest 200 pixels")].value == pytest.approx(0.5)


def test_a_split_of_one_class_is_told() -> None:
    lung = np.ones((2, 20, 20), bool)
    slices = _slices(lung, np.zeros(lung.shape, np.uint8), [1, 1])
    with pytest.raises(DataError, match="found no infected or no uninfected slices"):
        steps.aucs("made", lung.astype(np.float32), slices)


def test_a_mirrored_look_is_the_mean_of_both(workspace: Workspace, tmp_path: Path) -> None:
    weights, config = SHIPPED / "segmenter.safetensors", load_config(SHIPPED / "segmenter.config.yaml")
    slices = prepare(["covid-19-ct100"], workspace.data, (64, 80))
    slices = slices.subset(np.arange(len(slices)) < 1)
    mirrored = dataclasses.replace(slices, images=np.ascontiguousarray(slices.images[:, :, ::-1]))
    once, other = predict_slices(weights, config, slices), predict_slices(weights, config, mirrored)[:, :, ::-1]
    assert not np.allclose(once, other, rtol=0.1, atol=0)
    assert predict_slices(weights, config, slices, mirrored=True) == pytest.approx((once + other) / 2, rel=1e-3, abs=0)
    with pytest.raises(WeightsError):
        predict_slices(tmp_path / "none.safetensors", config, slices)


def test_steps_are_trained_in_order_evaluated_and_written(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[list[str]] = []
    looks: list[tuple[str, bool]] = []

    def in_this_process(runs: dict[str, TrainConfig], own: Workspace) -> None:
        """In place of processes of their own, each of which would load torch anew."""
        rounds.append(list(runs))
        for name, config in runs.items():
            train(config, RunPaths(own.data, own.output / name, own.cache), "cpu")

    def knowing(weights: Path, config: TrainConfig, slices: PreparedSlices, mirrored: bool = False) -> Probabilities:
        """In place of what a network says: what the reader has outlined, and a little more where it is infected."""
        assert weights.exists()
        assert slices.images.shape[1:] == tuple(config.input_size)
        looks.append((weights.parent.name, mirrored))
        a_little = np.float32(0.1) * (slices.infected == 1)[:, None, None]
        said: Probabilities = np.maximum(slices.masks / np.float32(255), a_little)
        return said

    monkeypatch.setattr(steps, "STEPS", (STEPS[3], STEPS[5]))  # one takes masks from the other
    monkeypatch.setattr(steps, "train_runs", in_this_process)
    monkeypatch.setattr(steps, "predict_slices", knowing)
    steps.compare(workspace, tmp_path)
    assert rounds == [["synthetic-mimics"], ["labels"]]
    expected = [("synthetic-mimics", False), ("labels", False), ("labels", True), ("weights", False)]
    assert looks == [look for look in expected for _ in steps.SPLITS]
    rows = steps.read_rows(tmp_path / "steps.json")
    assert [row.name for row in rows] == ["synthetic mimics", "labels", "mirrored look", "the default weights"]
    for row in rows:
        assert row.figures.pop(MARKED).value == 0
        assert set(row.figures) == set(NAMES) - {MARKED}
        assert all(found == (1, 1, 1) for found in row.figures.values())
    for name in ("steps.json", "steps.md"):
        assert str(workspace.output) not in (tmp_path / name).read_text(encoding="utf-8")


def _made_up() -> list[Row]:
    def figures(value: float) -> dict[str, Figure]:
        return {name: Figure(value + 0.01 * k, value, value + 0.2) for k, name in enumerate(NAMES)}

    return [Row(step.name, step.adds, figures(0.1 * k)) for k, step in enumerate(STEPS)]


def test_what_is_written_is_read_back_and_drawn_alike(tmp_path: Path) -> None:
    steps.write(_made_up(), tmp_path / "first")
    steps.write(steps.read_rows(tmp_path / "first" / "steps.json"), tmp_path / "second")
    for name in ("steps.json", "steps.md", "images/steps.svg"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    page = (tmp_path / "first" / "steps.md").read_text(encoding="utf-8")
    assert "| synthetic mimics | 0.330 (0.300 to 0.500) |" in page  # first source by the first reading


def test_the_committed_page_is_that_of_the_committed_figures() -> None:
    docs = Path(__file__).parents[1] / "docs"
    assert (docs / "steps.md").read_text(encoding="utf-8") == steps.as_markdown(steps.read_rows(docs / "steps.json"))


def test_an_error_is_one_line_and_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: Any) -> None:
        raise DataError(f"found {len(given)} places")

    monkeypatch.setattr(steps, "compare", refuse)
    monkeypatch.setattr("sys.argv", ["steps.py", "--data", str(tmp_path), "--imagenet", str(tmp_path)])
    assert steps.main() == 2
    assert capsys.readouterr().err == "error: found 2 places\n"
