"""Our networks on a GPU compared with the CPU; a sentence if there is no GPU."""

from __future__ import annotations

import numpy as np
from benchmarks.speed_sections.backends import calibration_slices
from benchmarks.speed_sections.plan import Figures, Plan, interleaved

from jcs_ct.engine import BACKENDS, Device, Network
from jcs_ct.errors import UsageError
from jcs_ct.weights import load_manifest


def gpu(plan: Plan) -> Figures:
    """Milliseconds a slice on both devices by turns, fp32, and the largest difference of their outputs."""
    found = {}
    for name, file in load_manifest().items():
        path = file.exact.path
        try:
            other = Network(path, None, BACKENDS[Device.CUDA])
        except UsageError as error:
            return {"absent": f"no GPU here: {error}"}
        own = Network(path)
        images = calibration_slices(plan.data, own.input_size, 4 if plan.quick else 48)
        works = {
            "CPU": lambda own=own, x=images: list(own.run(x)),
            "CUDA": lambda net=other, x=images: list(net.run(x)),
        }
        seconds = interleaved(works, plan.rounds)
        pairs = zip(own.run(images), other.run(images), strict=True)
        difference = max(float(np.abs(a - b).max()) for one, two in pairs for a, b in zip(one, two, strict=True))
        found[name] = {
            "ms_a_slice": {device: 1000 * value / len(images) for device, value in seconds.items()},
            "largest_difference": difference,
        }
    return {"networks": found}
