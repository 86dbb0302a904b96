"""Runs exported networks (ONNX) on the CPU with OpenVINO. No torch, and nothing leaves the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# OpenVINO's Python package reports its own import to a web service unless this package is out of reach; it then takes
# its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is Python's mark for "not there"

import openvino  # noqa: E402  # after the line above, which it must not precede

from jcs_ct.errors import WeightsError  # noqa: E402

BATCH = 2
"""Slices that go through a network at once: more gain a twentieth of the time on two cores, and cost memory."""


class Network:
    """One exported network, compiled for this machine.

    Args:
        path: ONNX file with one input (N, 1, H, W), N free.
        threads: cores to use; all if None.

    Raises:
        WeightsError: the file cannot be read as a network.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        core = openvino.Core()
        # By itself OpenVINO computes as bfloat16 where the processor can: other answers on other machines.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = core.compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise WeightsError(f"cannot load the network {path}: {str(error).splitlines()[0]}") from error
        shape = self._model.input(0).partial_shape
        if len(shape) != 4 or any(shape[axis].is_dynamic for axis in (1, 2, 3)) or shape[1].get_length() != 1:
            raise WeightsError(f"{path}: found a network of input {shape}, expected (N, 1, H, W) with H and W fixed")
        self.input_size: tuple[int, int] = (shape[2].get_length(), shape[3].get_length())
        """Height and width that the network takes."""

    def run(self, slices: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.float32], ...]]:
        """Outputs batch by batch, in the order of the network's outputs.

        Args:
            slices: (N, H, W), 0..1 stored as 0..255.
        """
        for start in range(0, len(slices), BATCH):
            batch = slices[start : start + BATCH, None].astype(np.float32) / 255
            outputs = self._model(batch, share_inputs=True)
            yield tuple(np.array(outputs[port]) for port in self._model.outputs)
        self._model.release_memory()  # what layers hand each other: as much as half a study
