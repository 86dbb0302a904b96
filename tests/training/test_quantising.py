"""Networks brought to 8 bits: what they answer, and which of the two a diagnosis takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch

from jcs_ct.datasets.prepared import prepare
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings, Precision
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.engine import Network
from jcs_ct.errors import WeightsError
from jcs_ct.training.export import ship
from jcs_ct.training.files import RunPaths
from jcs_ct.training.quantising import EXACT_CONVOLUTIONS, quantise
from jcs_ct.training.run import train
from jcs_ct.weights import file_sha256, load_manifest
from tests.training.conftest import INPUT_SIZE
from tests.training.test_run import config_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, mini_data: Path) -> Path:
    """Both networks after some steps, in both precisions."""
    folder = tmp_path_factory.mktemp("quantised")
    runs = {}
    for name in ("classifier", "segmenter"):
        torch.manual_seed(0)
        runs[name] = folder / "runs" / name
        train(config_for(name), RunPaths(mini_data, runs[name]), "cpu")
    ship(runs, folder / "weights")
    quantise(folder / "weights", mini_data)
    return folder / "weights"


def test_a_quantised_network_says_nearly_the_same(weights: Path, mini_data: Path) -> None:
    images = prepare(["sars-cov-2-ct"], mini_data, INPUT_SIZE).split("test").images
    for name, file in load_manifest(weights).items():
        assert file.quantised is not None
        exact, near = (
            np.concatenate([outputs[0] for outputs in Network(path).run(images)]).ravel()
            for path in (file.exact.path, file.quantised.path)
        )
        assert not np.array_equal(exact, near)
        assert np.abs(near - exact).mean() < 0.2 * max(float(exact.std()), 0.05), name


def _weight_of(convolution: Any) -> Any:
    """The constant behind what brings it back to fp32."""
    node = convolution.input_value(1).get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node


def test_the_first_convolution_and_the_end_of_the_classifier_stay_exact(weights: Path) -> None:
    core = openvino.Core()
    for name, last in (("classifier", EXACT_CONVOLUTIONS["classifier"]), ("segmenter", 0)):
        found = core.read_model(weights / f"{name}.int8.xml").get_ordered_ops()
        convolutions = [one for one in found if one.get_type_name() == "Convolution"]
        in_bytes = [_weight_of(one).get_element_type() == openvino.Type.i8 for one in convolutions]
        assert not in_bytes[0], name
        assert not any(in_bytes[len(in_bytes) - last :]), name
        assert sum(in_bytes) > len(in_bytes) // 2, f"{name}: most weights are whole numbers, brought back to fp32"


def test_the_manifest_tells_what_the_ranges_are_from(weights: Path) -> None:
    for entry in json.loads((weights / "manifest.json").read_text(encoding="utf-8"))["networks"].values():
        quantised = entry["quantised"]
        assert quantised["sha256"] == file_sha256(weights / quantised["file"])
        assert 0 < quantised["slices"] <= 300
        assert "covid-19-ct100" in quantised["sources"]


def test_a_diagnosis_takes_eight_bits_unless_told_otherwise(weights: Path) -> None:
    assert Diagnoser(weights).weights["segmenter"]["file"] == "segmenter.int8.xml"
    assert set(Diagnoser(weights).weights["segmenter"]) == {"file", "sha256", "weights_sha256"}
    exact = Diagnoser(weights, DiagnoserSettings(precision=Precision.FP32))
    assert exact.weights["segmenter"]["file"] == "segmenter.onnx"


def test_damaged_weights_of_a_quantised_network_are_refused(weights: Path) -> None:
    path = weights / "segmenter.int8.bin"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(WeightsError, match=r"segmenter\.int8\.bin: found SHA-256"):
            Diagnoser(weights)
    finally:
        path.write_bytes(whole)


def test_another_network_takes_the_place_of_both(weights: Path, tmp_path: Path) -> None:
    run = weights.parent / "runs" / "segmenter"
    copy = tmp_path / "weights"
    copy.mkdir()
    for file in weights.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    ship({"segmenter": run}, copy)
    assert not list(copy.glob("segmenter.int8.*"))
    assert load_manifest(copy)["segmenter"].quantised is None
    assert load_manifest(copy)["classifier"].quantised is not None
