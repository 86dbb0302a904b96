"""From trained weights to what ships: ONNX for the engine, fp16 safetensors, and a manifest of checksums."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from jcs_ct.models import registry
from jcs_ct.models.classifier import Classifier
from jcs_ct.models.joint import JointModel
from jcs_ct.models.lung_network import LungNetwork
from jcs_ct.models.segmenter import Segmenter
from jcs_ct.training.config import load_config
from jcs_ct.training.files import load_weights
from jcs_ct.weights import file_sha256, write_manifest

OPSET = 18
OUTPUTS = dict.fromkeys(registry.SEGMENTERS, ("logits",)) | {
    "classifier": ("logits", "activation_map", "features"),
    "joint": ("logits", "activation_map", "mask_logits"),
    "lungs": ("logits", "orientation"),
}
"""Names of the exported networks' outputs."""


class _MaskOnly(nn.Module):
    """A segmenter without its side outputs."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x).logits
        return logits


class _Plain(nn.Module):
    """A classifier whose outputs are a plain tuple."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = self.network(x)
        return output.logits, output.activation_map, output.features


class _Three(nn.Module):
    """A joint model whose outputs are a plain tuple, without side outputs."""

    def __init__(self, network: JointModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        classification, segmentation = self.network(x)
        return classification.logits, classification.activation_map, segmentation.logits


class _Two(nn.Module):
    """A lung network whose outputs are a plain tuple."""

    def __init__(self, network: LungNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(x)
        return output.logits, output.orientation


def _wrapped(network: nn.Module) -> nn.Module:
    if isinstance(network, LungNetwork):
        return _Two(network)
    if isinstance(network, JointModel):
        return _Three(network)
    return _Plain(network) if isinstance(network, Classifier) else _MaskOnly(network)  # type: ignore[arg-type]


def export_onnx(network: nn.Module, name: str, input_size: tuple[int, int], path: Path, weights: Path) -> None:
    """Write a network as ONNX with free batch size: its graph, whose weights are those in a safetensors file beside it.

    So the weights are there once. What is stored there as fp16 is computed with as fp32.

    Args:
        network: a classifier, a segmenter or a joint model, whose weights `weights` holds.
        name: of the network in the registry.
        input_size: height and width that the exported network takes.
        path: of the ONNX file.
        weights: safetensors in the same folder; see `run.save_weights`.
    """
    part = path.with_suffix(".partial")
    with warnings.catch_warnings():
        # Height and width are meant to be constants of the exported graph, and the exporter is chosen on purpose.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # What folding changes, shapes and the like, is no weight: a test holds the graph against the network.
        warnings.filterwarnings("ignore", "It is recommended that constant folding be turned off", UserWarning)
        torch.onnx.export(
            _wrapped(network).eval(),
            (torch.zeros(1, 1, *input_size),),
            str(part),
            input_names=["image"],
            output_names=list(OUTPUTS[name]),
            dynamic_axes={key: {0: "batch"} for key in ("image", *OUTPUTS[name])},
            opset_version=OPSET,
            # Otherwise batch normalization is folded into the weights, which are then others than those in the file.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=True,
            dynamo=False,
        )
    model = onnx.load(part)
    part.unlink()
    _refer(model, weights)
    onnx.save(model, part)
    onnx.checker.check_model(str(part))
    part.replace(path)


def _refer(model: onnx.ModelProto, weights: Path) -> None:
    """Have a graph's weights read from a safetensors file, with a cast behind each that is fp16 there."""
    graph = model.graph
    start, stored = _safetensors_header(weights)
    casts = []
    for tensor in graph.initializer:
        entry = stored.get(tensor.name.removeprefix(_WRAPPED))
        if entry is None:
            continue
        first, last = entry["data_offsets"]
        kind = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT, "I64": TensorProto.INT64}[entry["dtype"]]
        if kind == TensorProto.FLOAT16:
            casts.append(helper.make_node("Cast", [f"{tensor.name}_fp16"], [tensor.name], to=TensorProto.FLOAT))
            tensor.name = f"{tensor.name}_fp16"
        tensor.data_type = kind
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", start + first), ("length", last - first)):
            tensor.external_data.add(key=key, value=str(value))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


_WRAPPED = "network."
"""What the wrappers above put before the names of weights."""


def _safetensors_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the weights begin, and for each its type, shape and place after that (safetensors' format)."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return 8 + length, json.loads(stream.read(length))


def ship(runs: Mapping[str, Path], folder: Path) -> Path:
    """Export trained networks into a weights folder, with what made them: config, log, command and seed.

    Args:
        runs: training output folder of each network, by name.
        folder: where the weights go; the manifest there is kept up.

    Returns:
        The manifest.

    Raises:
        UsageError, WeightsError: a folder does not hold a finished run of that network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"networks": {}}
    for name, run in sorted(runs.items()):
        config = load_config(run / "config.yaml")
        network = registry.build(name, config.size)
        load_weights(network, run / f"{name}.safetensors")
        for stale in [*folder.glob(f"{name}.int8.*"), *folder.glob(f"{name}.typicality.*")]:  # of the one before
            stale.unlink()
        exported, weights = folder / f"{name}.onnx", folder / f"{name}.safetensors"
        shutil.copyfile(run / f"{name}.safetensors", weights)
        export_onnx(network, name, config.input_size, exported, weights)
        shutil.copyfile(run / "config.yaml", folder / f"{name}.config.yaml")
        _join_logs(run / "log", folder / f"{name}.log.csv")
        manifest["networks"][name] = {
            "size": config.size,
            "input_size": list(config.input_size),
            "onnx": exported.name,
            "onnx_sha256": file_sha256(exported),
            "safetensors": weights.name,
            "safetensors_sha256": file_sha256(weights),
            "training": json.loads((run / "summary.json").read_text(encoding="utf-8")),
        }
    return write_manifest(folder, manifest)


def _join_logs(folder: Path, joined: Path) -> None:
    """Put the logs of a run and of its resumptions into one CSV, in their order."""
    parts = sorted(folder.glob("version_*/metrics.csv"), key=lambda p: int(p.parent.name.split("_")[1]))
    joined.write_text("".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
