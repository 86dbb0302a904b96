"""Networks on other engines, each as a `jcs_ct.engine.Backend`, so that the functions of a diagnosis run on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jcs_ct.benchmarks.benchmark import of_split
from jcs_ct.datasets.normalized import normalized
from jcs_ct.engine import Network, OnnxRuntime, Outputs
from jcs_ct.errors import JcsError
from jcs_ct.models import registry
from jcs_ct.preprocessing import crop_resize
from jcs_ct.training.files import load_weights
from jcs_ct.weights import NetworkFile

CALIBRATED_ON = "covid-19-ct100"
"""Source whose training slices give ONNX Runtime's quantisation the ranges of activations."""


class Torch:
    """A network of the registry in torch, with the weights beside the exported file.

    Args:
        path: exported file, named as in the registry; the safetensors beside it are loaded.
        threads: ignored; a setting of torch as a whole.
        input_size: height and width.
        compiled: by torch.compile; the first run takes a minute.
    """

    def __init__(self, path: Path, threads: int | None, input_size: tuple[int, int], compiled: bool = False) -> None:
        network = registry.build(path.stem)
        load_weights(network, path.with_suffix(".safetensors"))
        eager = network.eval().to(memory_format=torch.channels_last)
        self._run: Callable[[Tensor], Any] = torch.compile(eager) if compiled else eager
        self.shape: tuple[int | None, ...] = (None, 1, *input_size)

    @torch.inference_mode()
    def infer(self, batch: NDArray[np.float32]) -> Outputs:
        """See `jcs_ct.engine.Backend`."""
        output = self._run(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last))
        wanted = (output.logits, output.activation_map) if hasattr(output, "activation_map") else (output.logits,)
        return tuple(tensor.numpy() for tensor in wanted)

    def release(self) -> None:
        """See `jcs_ct.engine.Backend`."""


def calibration_slices(data: Path, size: tuple[int, int], count: int) -> NDArray[np.uint8]:
    """(N, h, w): training slices as the networks see them."""
    records = of_split(CALIBRATED_ON, data, "train")[:count]
    return np.stack([crop_resize(one.image, one.box, size) for _, one in normalized(records, size)])


def quantise_for_onnx_runtime(path: Path, slices: NDArray[np.uint8], target: Path) -> None:
    """Write a network in 8 bits by ONNX Runtime's static quantisation (QDQ): weights by channel.

    Args:
        path: exported ONNX.
        slices: (N, h, w) that tell the ranges.
        target: where to.
    """
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # has no types
        def __init__(self) -> None:
            self._batches: Iterator[dict[str, NDArray[np.float32]]] = (
                {"image": one[None, None].astype(np.float32) / np.float32(255)} for one in slices
            )

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._batches, None)

    folded = target.with_suffix(".folded")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Weights are stored as fp16 beside the graph, with a cast behind each: they must be constants to be quantised.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(str(folded), str(target), Reader(), per_channel=True, **kinds)


def engine_makers(
    file: NetworkFile, input_size: tuple[int, int], data: Path, folder: Path, count: int
) -> dict[str, Callable[[], Network]]:
    """Loaders of one network for every engine.

    Args:
        file: the network.
        input_size: its height and width.
        data: tells ONNX Runtime's quantisation the ranges.
        folder: for its file, which is made once.
        count: slices that do.
    """
    path = file.exact.path
    on_cpu = partial(OnnxRuntime, provider="CPUExecutionProvider")

    def onnx_runtime_int8() -> Network:
        target = folder / f"{path.stem}.int8.onnx"
        if not target.exists():
            quantise_for_onnx_runtime(path, calibration_slices(data, input_size, count), target)
        return Network(target, None, on_cpu)

    makers: dict[str, Callable[[], Network]] = {
        "torch eager": lambda: Network(path, None, partial(Torch, input_size=input_size)),
        "torch.compile": lambda: Network(path, None, partial(Torch, input_size=input_size, compiled=True)),
        "OpenVINO fp32": lambda: Network(path),
        "ONNX Runtime fp32": lambda: Network(path, None, on_cpu),
        "ONNX Runtime int8": onnx_runtime_int8,
    }
    if file.quantised is not None:
        quantised = file.quantised.path
        makers["OpenVINO int8"] = lambda: Network(quantised)
    return makers


def tried(make: Callable[[], Network]) -> Network | str:
    """A network that has run once, or the reason why it cannot."""
    try:
        network = make()
        for _ in network.run(np.zeros((1, *network.input_size), np.uint8)):
            pass
    except (JcsError, ImportError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return network


def parameters_and_flops(network: nn.Module, input_size: tuple[int, int]) -> tuple[int, int]:
    """Parameters, and operations for one slice as torch counts them (a multiplication and an addition are two)."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 1, *input_size))
    return sum(parameter.numel() for parameter in network.parameters()), int(counter.get_total_flops())


def product_gflops(rounds: int, size: int = 2048) -> float:
    """GFLOPS of a plain fp32 matrix product in torch on as many threads as networks get: the best of some rounds."""
    from benchmarks.speed_sections.plan import timed

    one, two = torch.rand(size, size), torch.rand(size, size)
    return 2 * size**3 / min(timed(lambda: one @ two) for _ in range(rounds + 1)) / 1e9
