"""The weights that ship: whole, small enough, the same in both forms, and as good as is published."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from jcs_ct.benchmarks import BenchmarkResult, classification, composition, segmentation
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.engine import Network
from jcs_ct.errors import WeightsError
from jcs_ct.evaluation.conformal import AreaThresholds
from jcs_ct.models import registry
from jcs_ct.training.config import load_config
from jcs_ct.training.files import load_weights
from jcs_ct.weights import SHIPPED, file_sha256, load_manifest, write_fitted

WEIGHTS = {".onnx", ".safetensors", ".xml", ".bin", ".npz"}
DOCS = Path(__file__).parents[1] / "docs"
MANIFEST = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))["networks"]


def test_all_weights_together_are_at_most_40_mb() -> None:
    assert sum(p.stat().st_size for p in SHIPPED.iterdir() if p.suffix in WEIGHTS) <= 40e6


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_checksums_config_log_and_seed_lie_beside_the_weights(name: str) -> None:
    entry = MANIFEST[name]
    assert file_sha256(SHIPPED / entry["onnx"]) == entry["onnx_sha256"]
    assert file_sha256(SHIPPED / entry["safetensors"]) == entry["safetensors_sha256"]
    config = load_config(SHIPPED / f"{name}.config.yaml")
    assert config.task == name
    assert config.seed == entry["training"]["seed"]
    assert entry["training"]["command"].startswith(f"jcs train {name} ")
    assert not re.search(r"(?<![\w.])/\w+/", entry["training"]["command"]), "no path of the machine that trained"
    steps = [int(line.split(",")[1]) for line in (SHIPPED / f"{name}.log.csv").read_text().splitlines()[1:]]
    assert max(steps) >= entry["training"]["kept_step"] - 1


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_onnx_and_safetensors_are_one_network(name: str) -> None:
    network = registry.build(name, MANIFEST[name]["size"]).eval()
    load_weights(network, SHIPPED / MANIFEST[name]["safetensors"])
    exported = Network(SHIPPED / MANIFEST[name]["onnx"])
    height, width = exported.input_size
    slices = np.random.default_rng(0).integers(0, 256, (2, height, width), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(slices)[:, None].float() / 255)[0].numpy()
    (found,) = [outputs[0] for outputs in exported.run(slices)]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_model_card_names_data_licences_and_use() -> None:
    card = (SHIPPED / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("Not a medical device", "CC BY-NC-SA", "CC BY-NC-ND", "CC BY 4.0", "sars-cov-2-ct", "Intended use"):
        assert word in card


def test_calibration_goes_into_the_manifest_and_is_used(tmp_path: Path) -> None:
    for path in SHIPPED.iterdir():
        if path.suffix in {*WEIGHTS, ".json"}:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    write_fitted(tmp_path, "classifier", "calibration", {"scale": 2.0, "bias": -1.0}, "nothing")
    calibration = Diagnoser(tmp_path).classifier.calibration
    assert calibration is not None
    assert (calibration.scale, calibration.bias) == (2.0, -1.0)


def test_thresholds_of_intervals_go_into_the_manifest_and_are_used(tmp_path: Path) -> None:
    for path in SHIPPED.iterdir():
        if path.suffix in {*WEIGHTS, ".json"}:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    write_fitted(tmp_path, "segmenter", "area_thresholds", {"lower": 0.2, "upper": 0.7, "coverage": 0.8}, "nothing")
    assert Diagnoser(tmp_path).segmenter.area_thresholds == AreaThresholds(0.2, 0.7, 0.8)
    entry = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["networks"]["segmenter"]
    assert entry["area_thresholds_fitted_on"] == "nothing"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes((SHIPPED / "manifest.json").read_bytes())
    with pytest.raises(WeightsError, match="cannot read"):
        load_manifest(tmp_path)


def _published(source: str, figure: str) -> float:
    results = json.loads((DOCS / "results.json").read_text(encoding="utf-8"))
    return next(
        float(trial["figures"][figure])
        for trial in results["benchmarks"]
        if trial["source"] == source and figure in trial["figures"]
    )


def _silent(count: int) -> None:
    del count


def _found(results: list[BenchmarkResult], figure: str) -> float:
    value = results[0].figures[figure]
    assert value is not None
    return float(value)


def test_segmentation_is_as_published(shared_data: Path) -> None:
    results = segmentation(Diagnoser(), shared_data / "covid-19-ct100", "test", _silent)
    dice = _found(results, "dice_per_image")
    assert dice == pytest.approx(_published("covid-19-ct100", "dice_per_image"), abs=2e-3)


@pytest.mark.parametrize("kind", ["ground_glass", "consolidation"])
def test_composition_is_as_published(shared_data: Path, kind: str) -> None:
    dice = _found(composition(Diagnoser(), shared_data, "test", _silent), f"{kind}_dice")
    assert dice == pytest.approx(_published("covid-semiseg", f"{kind}_dice"), abs=2e-3)


def test_the_level_of_consolidation_says_what_it_was_fitted_on() -> None:
    entry = MANIFEST["segmenter"]
    assert -600 < entry["consolidation_hu"] < -100
    assert "covid-semiseg, splits train and val" in entry["consolidation_hu_fitted_on"]


def test_classification_is_as_published(shared_data: Path) -> None:
    results = classification(Diagnoser(), shared_data / "sars-cov-2-ct", "test", _silent)
    auc = _found(results, "slice_auc")
    assert auc == pytest.approx(_published("sars-cov-2-ct", "slice_auc"), abs=2e-3)
