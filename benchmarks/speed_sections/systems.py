"""Every network of the registry in both sizes, torch eager, and the default size in OpenVINO as well."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed_sections.backends import parameters_and_flops
from benchmarks.speed_sections.paper_size import eager, exported, paper_input
from benchmarks.speed_sections.plan import Figures, Plan, interleaved

from jcs_ct.engine import Network
from jcs_ct.models import registry
from jcs_ct.weights import load_manifest


def systems(plan: Plan) -> Figures:
    """Milliseconds a slice, one slice at a time, of random weights; ratios to our segmenter of the same run."""
    shipped = Network(load_manifest()["segmenter"].exact.path).input_size
    names = ["segmenter", "unet"] if plan.quick else list(registry.MODELS)
    rows = []
    for size in ("default", "paper"):
        works: dict[str, Callable[[], object]] = {}
        costs = {}
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                network = registry.build(name, size)
                seen = shipped if size == "default" else paper_input(name, plan.quick)
                costs[name] = (*parameters_and_flops(network, seen), seen)
                works[f"{name}, torch eager"] = eager(network, seen)
                if size == "default":
                    works[f"{name}, OpenVINO fp32"] = exported(network, name, seen, Path(folder))
            seconds = interleaved(works, min(plan.rounds, 5 if size == "default" else 3))
        rows += [_row(name, size, costs[name], seconds) for name in names]
    return {"rows": rows}


def _row(name: str, size: str, cost: tuple[int, int, tuple[int, int]], seconds: dict[str, float]) -> Figures:
    parameters, flops, seen = cost
    own = seconds["segmenter, torch eager"]
    found = {
        engine: seconds[f"{name}, {engine}"]
        for engine in ("torch eager", "OpenVINO fp32")
        if f"{name}, {engine}" in seconds
    }
    return {
        "network": name,
        "size": size,
        "input_size": list(seen),
        "parameters": parameters,
        "gflop_a_slice": flops / 1e9,
        "ms_a_slice": {engine: 1000 * value for engine, value in found.items()},
        "times_our_segmenter": found["torch eager"] / own,
    }
