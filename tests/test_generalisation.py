"""Cross-validation by patient and by source: nothing that is judged was seen, and figures as computed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments import generalisation
from experiments.generalisation import (
    LEFT_OUT,
    READINGS,
    Place,
    as_markdown,
    fold_config,
    generalise,
    left_out_config,
    train_missing,
)

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.errors import UsageError
from tests.imagenet import write_imagenet
from tests.mini_data import write_mini_data

SHORT = {"steps": 1, "validate_every": 1, "input_size": (64, 80), "precision": "32-true"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Phantoms as data, one step a training, random weights as those of ImageNet."""
    folder = tmp_path_factory.mktemp("generalisation")
    write_imagenet(folder / "imagenet.safetensors")
    return Place(write_mini_data(folder / "data"), folder / "runs", folder / "imagenet.safetensors", settings=SHORT)


@pytest.mark.parametrize(("left_out", "empty"), LEFT_OUT.items())
def test_nothing_of_a_source_that_is_left_out_is_seen(left_out: str, empty: str, tmp_path: Path) -> None:
    config = left_out_config(empty, Place(tmp_path, tmp_path, tmp_path / "imagenet"))
    seen = {source for group in config.batch for source in group.sources} | set(config.validation)
    assert seen == {"covid-19-ct100", empty}
    assert left_out not in seen
    assert all(group.kind in ("masked", "uninfected") for group in config.batch), "no label of an infected slice"
    assert config.pseudo_masks is None


def test_each_group_of_the_folded_source_is_judged_once(tmp_path: Path) -> None:
    names = [fold_config(number, Place(tmp_path, tmp_path, tmp_path)).fold for number in range(1, 6)]
    assert names == [f"sars-cov-2-ct:{number}of5" for number in range(1, 6)]


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


def test_groups_are_judged_by_the_mean_of_their_slices() -> None:
    said = np.array([0.9, 0.1, 0.8, 0.6, 0.2, 0.2], np.float32)
    truth = np.array([True, True, True, False, False, False])
    groups = np.array(["a", "a", "b", "c", "d", "d"])
    slices, by_group = generalisation._of_decisions(said, truth, groups, "folds", [1.0])
    assert slices.figures["AUC"] == pytest.approx(6 / 9)  # 0.1 is below all three, 0.9 and 0.8 above
    assert by_group.figures["groups"] == 4
    assert by_group.figures["AUC"] == pytest.approx(3 / 4)  # 0.5 and 0.8 against 0.6 and 0.2
    assert by_group.figures["sensitivity at specificity 1.000 (mean probability above 0.600)"] == pytest.approx(0.5)
    assert by_group.figures["specificity at 0.5"] == pytest.approx(0.5)


def _knowing(name: str, config: Any, slices: PreparedSlices, place: Place) -> np.ndarray:
    """In place of what a network says: infected slices are marked more than others, by chance."""
    assert (place.output / name / "segmenter.safetensors").exists()
    del config
    share = np.random.default_rng(0).uniform(0.1, 0.4, len(slices)) + 0.2 * (slices.infected == 1)
    return np.broadcast_to(share[:, None, None], slices.images.shape).astype(np.float32)


def test_all_protocols_are_trained_judged_and_written(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generalisation, "COUNT", 3)
    both = {"mosmed-slices": "sars-cov-2-ct", "sars-cov-2-ct": "mosmed-slices"}
    monkeypatch.setattr(generalisation, "LEFT_OUT", both)
    monkeypatch.setattr(generalisation, "outlined", _knowing)
    without_ucsd = tmp_path / "configs"
    without_ucsd.mkdir()
    for path in generalisation.CONFIGS.glob("*.yaml"):  # of which there are no phantoms
        (without_ucsd / path.name).write_text(path.read_text(encoding="utf-8").replace(", ucsd-covid-ct", ""))
    monkeypatch.setattr(generalisation, "CONFIGS", without_ucsd)
    generalise(["folds", "left-out"], place, tmp_path)
    found = json.loads((tmp_path / "generalisation.json").read_text(encoding="utf-8"))
    slices, groups = (each["figures"] for each in found["folds"])
    assert slices["slices"] == 12, "each slice once"
    assert groups["groups"] == 12
    assert [each["source"] for each in found["left-out"]] == list(both)
    assert {each["figures"]["reading"] for each in found["left-out"]} <= set(READINGS)
    assert len(slices["reading of each fold, chosen on another one"].split(", ")) == 3
    assert "mosmed-slices" in (tmp_path / "generalisation.md").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="other settings"):
        train_missing({"fold1": fold_config(2, place)}, place)


def test_the_committed_page_is_that_of_the_committed_figures() -> None:
    docs = Path(__file__).parents[1] / "docs"
    kept = json.loads((docs / "generalisation.json").read_text(encoding="utf-8"))
    results = [generalisation.Result(**each) for name in generalisation.PROTOCOLS for each in kept[name]]
    assert (docs / "generalisation.md").read_text(encoding="utf-8") == as_markdown(results)
