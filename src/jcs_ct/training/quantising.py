"""Networks in whole numbers of eight bits: a half to a third of the time of fp32, for a little accuracy.

Ranges of activations are taken from training slices (post-training quantisation of NNCF); nothing is trained. The
result is OpenVINO's own form, which the engine runs; the ONNX file stays for all else.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jcs_ct.engine  # noqa: F401  # keeps openvino, which nncf imports, from reporting to others
from jcs_ct.datasets.prepared import prepare
from jcs_ct.training.config import load_config
from jcs_ct.weights import file_sha256, load_manifest, write_manifest

LOG = logging.getLogger(__name__)
UNQUANTISED = ("lungs",)
"""Networks of a few milliseconds a slice stay in fp32."""
SLICES = 300
"""At most so many training slices tell the ranges."""
EXACT_CONVOLUTIONS = {"classifier": 10}
"""Last convolutions of a network that stay in fp32, with all that follows them: the classifier's last two blocks and
its head. A decision is a difference of large sums there. Measured on the validation slices of ucsd-covid-ct: with these
its margins correlate with those of fp32 by 0.9996 and the AUC is 0.003 lower, without by 0.968 and 0.039 lower."""


def quantise(folder: Path, data: Path, cache: Path | None = None, only: str | None = None) -> Path:
    """Quantise every network of a weights folder and name the results in its manifest.

    Args:
        folder: as `export.ship` writes it.
        data: folder that holds the data sources that the networks were trained on.
        cache: folder to keep prepared slices in.
        only: name of one network; all if None.

    Returns:
        The manifest.

    Raises:
        WeightsError: the folder holds no weights, or other ones than its manifest says.
        DataError: a source is missing or cannot be read.
    """
    networks = load_manifest(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, file in networks.items():
        config = load_config(folder / f"{name}.config.yaml")
        if config.task in UNQUANTISED or only not in (None, name):
            continue
        sources = sorted({source for group in config.batch for source in group.sources})
        images = prepare(sources, data, config.input_size, cache).split("train").images
        chosen = images[np.linspace(0, len(images) - 1, min(SLICES, len(images))).astype(int)]
        target = folder / f"{name}.int8.xml"
        LOG.info("quantising %s by %d training slices of %s", name, len(chosen), ", ".join(sources))
        _quantise(file.exact.path, chosen, target, EXACT_CONVOLUTIONS.get(name, 0))
        manifest["networks"][name]["quantised"] = {
            "file": target.name,
            "sha256": file_sha256(target),
            "weights_sha256": file_sha256(target.with_suffix(".bin")),
            "slices": len(chosen),
            "sources": sources,
        }
    return write_manifest(folder, manifest)


def _quantise(path: Path, slices: NDArray[np.uint8], target: Path, exact_convolutions: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that it imports
        # Here and not at the top: they take seconds, and all of `training` would wait.
        import nncf
        import openvino

        exact = openvino.Core().read_model(str(path))
        model = nncf.quantize(
            exact,
            nncf.Dataset(list(_inputs(slices))),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(slices),
            ignored_scope=nncf.IgnoredScope(
                names=_up_to_first_convolution(exact) + _from_last_convolutions(exact, exact_convolutions),
                validate=False,  # of those that compute nothing in eight bits anyway
            ),
        )
    part = target.with_name(f"partial-{target.name}")
    openvino.save_model(model, str(part), compress_to_fp16=False)
    part.with_suffix(".bin").replace(target.with_suffix(".bin"))
    part.replace(target)


def _up_to_first_convolution(model: Any) -> list[str]:
    """What stays in fp32: ground glass differs from lung by little, and 256 levels of the picture are too few for it.

    Measured on the classifier's validation slices of mosmed-slices: with these its margins correlate with those of fp32
    by 0.999, without by 0.975.
    """
    names = []
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in ("Add", "Subtract", "Multiply", "Divide"):
            names.append(operation.get_friendly_name())
        if operation.get_type_name() == "Convolution":
            return [*names, operation.get_friendly_name()]
    return names


def _from_last_convolutions(model: Any, count: int) -> list[str]:
    """What stays in fp32 at a network's end; nothing if `count` is 0."""
    operations = model.get_ordered_ops()
    convolutions = [place for place, one in enumerate(operations) if one.get_type_name() == "Convolution"]
    if not count or len(convolutions) <= count:  # the first stays in fp32 by itself
        return []
    after = operations[convolutions[-count] :]
    return [one.get_friendly_name() for one in after if one.get_type_name() not in ("Constant", "Result")]


def _inputs(slices: NDArray[np.uint8]) -> Iterable[NDArray[np.float32]]:
    for image in slices:
        yield image[None, None].astype(np.float32) / 255
