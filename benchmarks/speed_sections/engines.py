"""Our two networks on every engine: milliseconds a slice, GFLOPS against a matrix product, and accuracy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks.speed_sections.backends import (
    calibration_slices,
    engine_makers,
    parameters_and_flops,
    product_gflops,
    tried,
)
from benchmarks.speed_sections.engine_memory import memory_gb
from benchmarks.speed_sections.plan import AVX2, Figures, Plan, interleaved
from numpy.typing import NDArray

from jcs_ct import Diagnoser
from jcs_ct.benchmarks import segmentation, slice_probabilities
from jcs_ct.benchmarks.benchmark import of_split
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.engine import Network
from jcs_ct.evaluation.metrics import roc_auc
from jcs_ct.models import registry
from jcs_ct.weights import NetworkFile, load_manifest

SEGMENTED = "covid-19-ct100"
CLASSIFIED = "sars-cov-2-ct"


def engines(plan: Plan) -> Figures:
    """Every engine in this process, by turns."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: _engines_of(name, file, plan, Path(folder)) for name, file in load_manifest().items()}
    return {"networks": found, "instruction_sets": "AVX2" if "ONEDNN_MAX_CPU_ISA" in os.environ else "all"}


def _engines_of(name: str, file: NetworkFile, plan: Plan, folder: Path) -> Figures:
    size = Network(file.exact.path).input_size
    made = {engine: tried(make) for engine, make in engine_makers(file, size, plan.data, folder, 32).items()}
    parameters, flops = parameters_and_flops(registry.build(name), size)
    images = calibration_slices(plan.data, size, 4 if plan.quick else 24)
    working = {engine: network for engine, network in made.items() if isinstance(network, Network)}
    seconds = interleaved({engine: _over(network, images) for engine, network in working.items()}, plan.rounds)
    product = product_gflops(plan.rounds)
    rows: list[Figures] = []
    for engine, network in made.items():
        if isinstance(network, str):
            rows.append({"engine": engine, "absent": network})
            continue
        reached = flops * len(images) / seconds[engine] / 1e9
        rows.append(
            {
                "engine": engine,
                "ms_a_slice": 1000 * seconds[engine] / len(images),
                "gflops": reached,
                "of_product": reached / product,
                "memory_gb": memory_gb(name, engine, size, plan.data, folder),
                "accuracy": _accuracy(name, network, plan),
            }
        )
    return {
        "input_size": list(size),
        "parameters": parameters,
        "gflop_a_slice": flops / 1e9,
        "product_gflops": product,
        "slices": len(images),
        "rows": rows,
    }


def _over(network: Network, images: NDArray[np.uint8]) -> Callable[[], object]:
    return lambda: list(network.run(images))


def _accuracy(name: str, network: Network, plan: Plan) -> float | None:
    """Dice per image of the segmenter, slice AUC of the classifier, by the functions of `jcs evaluate`."""
    if plan.quick:
        return None
    diagnoser = Diagnoser()
    if name == "segmenter":
        diagnoser.networks[name] = replace(diagnoser.segmenter, network=network)
        (trial,) = segmentation(diagnoser, plan.data / SEGMENTED, "test", lambda _: None)
        return trial.figures["dice_per_image"]
    diagnoser.networks[name] = replace(diagnoser.classifier, network=network)
    records = _thinned(of_split(CLASSIFIED, plan.data, "test"))
    infected = np.array([record.infected is True for record in records])
    return roc_auc(infected, slice_probabilities(diagnoser, records, lambda _: None))


def _thinned(records: list[SliceRecord]) -> list[SliceRecord]:
    """A third of the test slices: engines are held against each other on the same ones."""
    return records[::3]


def engines_avx2(plan: Plan) -> Figures:
    """The same in a process whose kernels may use AVX2 and nothing newer; ONNX Runtime's cannot be told."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(__file__).resolve().parents[1] / "speed.py"
        command = [sys.executable, str(script), "engines", "--data", str(plan.data), "--output", folder]
        command += ["--quick"] if plan.quick else []
        subprocess.run(command, check=True, env=os.environ | AVX2, stdout=subprocess.DEVNULL)
        document = json.loads(Path(folder, "engines.json").read_text(encoding="utf-8"))
    figures: Figures = document["figures"]
    for network in figures["networks"].values():
        network["rows"] = [row for row in network["rows"] if not row["engine"].startswith("ONNX Runtime")]
    return figures
