"""Networks for the boundary of the tests: real ONNX files whose answers can be worked out by hand.

They mark ground glass as it is in the one form, between `LOW` and `HIGH`, and nothing thinner than their window: not
the rim of the lungs, where resizing mixes lung and wall.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from jcs_ct.weights import file_sha256

LOW, HIGH = 0.30, 0.45
"""-640 to -460 HU."""
INPUT_SIZE = (160, 208)
STRIDE = 16
"""Of the activation map."""
_OPENING = 7


def write_weights(
    folder: Path,
    *,
    suspicious_share: float = 0.004,
    input_size: tuple[int, int] = INPUT_SIZE,
    band: tuple[float, float] = (LOW, HIGH),
    evidence: dict[str, float] | None = None,
) -> Path:
    """Write a weights folder with a classifier and a segmenter that mark ground glass.

    Args:
        folder: where to; it is made if need be.
        suspicious_share: the classifier says 0.5 where this share of the crop is marked, and is soon sure either way.
        input_size: height and width of the networks.
        band: of the one form that is marked; another one marks denser opacities.
        evidence: weights of `evaluation.evidence.SliceEvidence`; the manifest has none if None.

    Returns:
        The folder, for `Diagnoser(weights=folder)`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    networks = {
        "classifier": _classifier(suspicious_share, input_size, band),
        "segmenter": _segmenter(input_size, band),
    }
    manifest = {}
    for name, model in networks.items():
        path = folder / f"{name}.onnx"
        onnx.checker.check_model(model)
        onnx.save(model, path)
        manifest[name] = {"onnx": path.name, "onnx_sha256": file_sha256(path), "input_size": list(input_size)}
    document = {"networks": manifest} if evidence is None else {"networks": manifest, "evidence": evidence}
    (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def exchange_classifier(weights: Path, other: Path) -> None:
    """Put the classifier of another folder into a weights folder, so that its two networks see different things."""
    manifest = json.loads((weights / "manifest.json").read_text(encoding="utf-8"))
    shutil.copy(other / "classifier.onnx", weights)
    manifest["networks"]["classifier"]["onnx_sha256"] = file_sha256(weights / "classifier.onnx")
    (weights / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def constant_network(path: Path, input_size: tuple[int, int] = (8, 10)) -> Path:
    """Write a network whose output is (N, 1): the mean of its input."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0)]
    onnx.save(_model(nodes, {}, {"mean": ["n", 1]}, input_size), path)
    return path


def _marked(constants: dict[str, NDArray[np.generic]], band: tuple[float, float]) -> list[onnx.NodeProto]:
    """Image to "marked" in 0..1: steep band, then a morphological opening."""
    constants |= {"low": _scalar(band[0]), "high": _scalar(band[1]), "steep": _scalar(300)}
    window: dict[str, Any] = {"kernel_shape": [_OPENING] * 2, "pads": [_OPENING // 2] * 4}
    return [
        helper.make_node("Sub", ["image", "low"], ["above"]),
        helper.make_node("Sub", ["high", "image"], ["below"]),
        helper.make_node("Min", ["above", "below"], ["within"]),
        helper.make_node("Mul", ["within", "steep"], ["steeply"]),
        helper.make_node("Sigmoid", ["steeply"], ["band"]),
        helper.make_node("Neg", ["band"], ["unmarked"]),
        helper.make_node("MaxPool", ["unmarked"], ["grown"], **window),
        helper.make_node("Neg", ["grown"], ["eroded"]),
        helper.make_node("MaxPool", ["eroded"], ["marked"], **window),
    ]


def _segmenter(input_size: tuple[int, int], band: tuple[float, float]) -> onnx.ModelProto:
    constants: dict[str, NDArray[np.generic]] = {"half": _scalar(0.5), "gain": _scalar(20)}
    nodes = [
        *_marked(constants, band),
        helper.make_node("Sub", ["marked", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain"], ["logits"]),
    ]
    return _model(nodes, constants, {"logits": ["n", 1, *input_size]}, input_size)


def _classifier(share: float, input_size: tuple[int, int], band: tuple[float, float]) -> onnx.ModelProto:
    constants: dict[str, NDArray[np.generic]] = {"share": _scalar(share), "sure": _scalar(5 / share)}
    nodes = [
        *_marked(constants, band),
        helper.make_node("ReduceMean", ["marked"], ["found"], axes=[2, 3], keepdims=0),  # (N, 1)
        helper.make_node("Sub", ["found", "share"], ["more"]),
        helper.make_node("Mul", ["more", "sure"], ["infected"]),
        helper.make_node("Neg", ["infected"], ["uninfected"]),
        helper.make_node("Concat", ["uninfected", "infected"], ["logits"], axis=1),
        helper.make_node("AveragePool", ["marked"], ["map"], kernel_shape=[STRIDE] * 2, strides=[STRIDE] * 2),
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[2, 3], keepdims=0),
        helper.make_node("Concat", ["grey", "found"], ["features"], axis=1),
    ]
    outputs: dict[str, list[str | int]] = {
        "logits": ["n", 2],
        "map": ["n", 1, input_size[0] // STRIDE, input_size[1] // STRIDE],
        "features": ["n", 2],
    }
    return _model(nodes, constants, outputs, input_size)


def _scalar(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    outputs: dict[str, list[str | int]],
    input_size: tuple[int, int],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "ground_glass",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, *input_size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
