"""Exported networks: order, scale, agreement of backends, and files that are not networks."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jcs_ct.engine import BACKENDS, BATCH, Device, Network, OnnxRuntime
from jcs_ct.errors import UsageError, WeightsError
from jcs_ct.weights import load_manifest
from tests.opacity_networks import constant_network


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(constant_network(tmp_path / "mean.onnx"), threads=1)


@pytest.mark.parametrize("count", [1, BATCH, BATCH + 1, 3 * BATCH])
def test_batches_keep_the_order_of_the_slices(network: Network, count: int) -> None:
    slices = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None] * 10, (count, 8, 10)).copy()
    batches = [outputs[0] for outputs in network.run(slices)]
    assert [len(batch) for batch in batches[:-1]] == [BATCH] * (len(batches) - 1)
    np.testing.assert_allclose(np.concatenate(batches)[:, 0] * 255, np.arange(count) * 10, atol=1e-3)


def test_outputs_are_copies_that_later_batches_leave_alone(network: Network) -> None:
    slices = np.zeros((2 * BATCH, 8, 10), np.uint8)
    slices[BATCH:] = 255
    first, second = (outputs[0] for outputs in network.run(slices))
    assert first.max() == 0
    assert second.min() == pytest.approx(1)


def test_no_slices_give_no_batches(network: Network) -> None:
    assert list(network.run(np.zeros((0, 8, 10), np.uint8))) == []


def test_mirrored_views_are_taken_as_they_are_seen(network: Network) -> None:
    slices = np.zeros((1, 8, 10), np.uint8)
    slices[0, :, :3] = 255
    (plain,), (mirrored,) = network.run(slices), network.run(slices[:, :, ::-1])
    np.testing.assert_allclose(plain[0], mirrored[0])


def test_the_network_tells_its_input_size(network: Network) -> None:
    assert network.input_size == (8, 10)


@pytest.mark.parametrize("content", [None, b"", b"no network at all"])
def test_a_file_that_is_no_network_is_a_weights_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot load the network .*network\.onnx"):
        Network(path)


@pytest.mark.parametrize("shape", [["n", 1, "h", "w"], ["n", 3, 8, 8], ["n", 8]])
def test_a_network_of_another_input_is_a_weights_error(shape: list[str | int], tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["image"], ["same"])],
        "other",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "n.onnx")
    with pytest.raises(WeightsError, match="expected \\(N, 1, H, W\\)"):
        Network(tmp_path / "n.onnx")


# ---------------------------------------------------------------------------------------------- ONNX Runtime


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_onnx_runtime_gives_what_openvino_gives(name: str) -> None:
    pytest.importorskip("onnxruntime")
    path = load_manifest()[name].exact.path
    own = Network(path, threads=1)
    other = Network(path, threads=1, backend=partial(OnnxRuntime, provider="CPUExecutionProvider"))
    assert other.input_size == own.input_size
    slices = np.random.default_rng(0).integers(0, 256, (BATCH + 1, *own.input_size), np.uint8)
    for expected, found in zip(own.run(slices), other.run(slices), strict=True):
        assert [array.shape for array in found] == [array.shape for array in expected]
        for one, two in zip(expected, found, strict=True):
            np.testing.assert_allclose(two, one, atol=1e-3 * max(1.0, float(np.abs(one).max())))


def test_onnx_runtime_refuses_what_is_no_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "network.onnx"
    path.write_bytes(b"no network at all")
    with pytest.raises(WeightsError, match=r"cannot load the network .*network\.onnx"):
        Network(path, backend=partial(OnnxRuntime, provider="CPUExecutionProvider"))


def test_a_gpu_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("ONNX Runtime can compute on a GPU here")
    with pytest.raises(UsageError, match=r"expected CUDAExecutionProvider.*jcs-ct\[cuda\]"):
        Network(constant_network(tmp_path / "mean.onnx"), backend=BACKENDS[Device.CUDA])


def test_onnx_runtime_that_is_not_installed_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="needs ONNX Runtime"):
        Network(constant_network(tmp_path / "mean.onnx"), backend=BACKENDS[Device.CUDA])
