"""Run exported networks: OpenVINO on the CPU, ONNX Runtime on a GPU. Without torch and without telemetry."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# OpenVINO's Python package reports its own import to a web service unless this package is unavailable; it then uses
# its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is Python's mark for "not there"

import openvino  # noqa: E402  # after the line above, which it must not precede

from jcs_ct.errors import UsageError, WeightsError  # noqa: E402

BATCH = 2
"""Slices per batch: larger batches save 5 % of the time on two cores and cost memory."""

Outputs = tuple[NDArray[np.float32], ...]


class Device(StrEnum):
    """Where networks run."""

    CPU = "cpu"
    CUDA = "cuda"


class Backend(Protocol):
    """A library that has loaded one network."""

    shape: tuple[int | None, ...]
    """Height and width of the input; None if they are dynamic."""

    def infer(self, batch: NDArray[np.float32]) -> Outputs:
        """The network's outputs for (N, 1, H, W) in 0..1, in their order, each a separate array."""

    def release(self) -> None:
        """Release the memory that only a run needs."""


class OpenVino:
    """A network compiled for this machine's processor.

    Args:
        path: ONNX file, or OpenVINO's own form.
        threads: cores to use; all if None.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        # By default OpenVINO computes in bfloat16 where the processor can, which gives other results on other machines.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = openvino.Core().compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise _unreadable(path, error) from error
        axes = self._model.input(0).partial_shape
        self.shape = tuple(None if axis.is_dynamic else axis.get_length() for axis in axes)

    def infer(self, batch: NDArray[np.float32]) -> Outputs:
        """See `Backend`."""
        outputs = self._model(batch, share_inputs=True)
        return tuple(np.array(outputs[port]) for port in self._model.outputs)

    def release(self) -> None:
        """See `Backend`: intermediate results take as much as half a study."""
        self._model.release_memory()


class OnnxRuntime:
    """A network on one of ONNX Runtime's execution providers.

    Args:
        path: ONNX file.
        threads: cores to use; all if None.
        provider: by default an NVIDIA GPU's.

    Raises:
        UsageError: ONNX Runtime is not installed, or cannot compute there.
    """

    def __init__(self, path: Path, threads: int | None = None, provider: str = "CUDAExecutionProvider") -> None:
        try:
            # Imported here because it is an optional extra.
            import onnxruntime
        except ModuleNotFoundError as error:
            raise UsageError(f"{provider} needs ONNX Runtime: pip install 'jcs-ct[cuda]', or leave --device") from error
        onnxruntime.disable_telemetry_events()
        if provider not in (offered := onnxruntime.get_available_providers()):
            raise UsageError(
                f"ONNX Runtime offers {', '.join(offered)}, expected {provider}: pip install 'jcs-ct[cuda]'"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised or checked below
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # its errors have no other common base
            raise _unreadable(path, error) from error
        # Without a GPU it falls back to the CPU and only logs that.
        if provider not in self._session.get_providers():
            raise UsageError(f"found no device for {provider}, expected a GPU with its driver; or leave --device")
        (only,) = self._session.get_inputs()
        self._input: str = only.name
        self.shape = tuple(axis if isinstance(axis, int) else None for axis in only.shape)

    def infer(self, batch: NDArray[np.float32]) -> Outputs:
        """See `Backend`."""
        return tuple(self._session.run(None, {self._input: batch}))

    def release(self) -> None:
        """See `Backend`; the session keeps its memory."""


BACKENDS: dict[Device, Callable[[Path, int | None], Backend]] = {Device.CPU: OpenVino, Device.CUDA: OnnxRuntime}
"""The backend of each device."""


class Network:
    """One exported network, compiled for this machine.

    Args:
        path: file with one input (N, 1, H, W), N dynamic.
        threads: cores to use; all if None.
        backend: loads the file.

    Raises:
        WeightsError: the file cannot be read as a network.
        UsageError: this machine cannot run that backend.
    """

    def __init__(
        self, path: Path, threads: int | None = None, backend: Callable[[Path, int | None], Backend] = OpenVino
    ) -> None:
        self._backend = backend(path, threads)
        shape = self._backend.shape
        if len(shape) != 4 or shape[1] != 1 or shape[2] is None or shape[3] is None:
            shown = ", ".join("?" if axis is None else str(axis) for axis in shape)
            raise WeightsError(f"{path}: found a network of input ({shown}), expected (N, 1, H, W) with H and W fixed")
        self.input_size: tuple[int, int] = (shape[2], shape[3])
        """Height and width of the network's input."""

    def run(self, slices: NDArray[np.uint8]) -> Iterator[Outputs]:
        """Outputs batch by batch, in the order of the network's outputs.

        Args:
            slices: (N, H, W), 0..1 stored as 0..255.
        """
        for start in range(0, len(slices), BATCH):
            batch = slices[start : start + BATCH, None].astype(np.float32)
            yield self._backend.infer(batch / np.float32(255))
        self._backend.release()


def _unreadable(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"cannot load the network {path}: {str(error).splitlines()[0]}")
