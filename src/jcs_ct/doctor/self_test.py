"""Runs the networks of an installation on a phantom: do they compute what they should on this processor?"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.classify import classify
from jcs_ct.diagnosis.diagnoser_settings import Precision
from jcs_ct.diagnosis.fitness import lung_ml
from jcs_ct.diagnosis.networks import CLASSIFIER, SEGMENTER, LoadedNetwork, load_networks
from jcs_ct.diagnosis.segment import segment
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.doctor.checks import Finding, State
from jcs_ct.doctor.phantom import LUNG_ML, phantom
from jcs_ct.errors import JcsError
from jcs_ct.lungs import LUNGS, LungFinder

_LUNG_TOLERANCE = 0.15
"""Of the phantom's lung volume: it has few slices, each 14 mm apart."""
_PRECISION_TOLERANCE = 0.15
"""Between a probability in 8 bits and in fp32: see the largest differences in docs/speed.md."""
_COMPARED = 2
"""Slices that are also computed in fp32."""


def try_on_phantom(weights: Path) -> Finding:
    """Find the phantom's lungs, run both networks, and hold what comes out against what is known."""
    began = time.monotonic()
    try:
        problem, slices = _problem(weights)
    except (JcsError, RuntimeError, OSError, ImportError) as error:
        return Finding(State.FAULT, "self-test", f"a diagnosis fails: {error}")
    seconds = time.monotonic() - began
    if problem is not None:
        return Finding(State.FAULT, "self-test", f"{problem}; expected otherwise: do not use this installation")
    return Finding(State.OK, "self-test", f"{slices} slices of a phantom, as expected, in {seconds:.1f} s")


def _problem(weights: Path) -> tuple[str | None, int]:
    """What is wrong, and how many slices were tried."""
    networks = load_networks(weights, Precision.INT8)
    lungs = find_lung_slices(phantom(), networks[CLASSIFIER].input_size, LungFinder(networks[LUNGS].network))
    if lungs is None:
        return "no lungs were found in the phantom", 0
    found_ml = lung_ml(lungs)
    assert found_ml is not None, "the phantom states its geometry"
    if abs(found_ml / LUNG_ML - 1) > _LUNG_TOLERANCE:
        return f"the phantom's lungs have {found_ml:.0f} mL, but {LUNG_ML:.0f} mL are in it", len(lungs.indices)
    exact = load_networks(weights, Precision.FP32)
    for name in (CLASSIFIER, SEGMENTER):
        values = _computed(name, networks[name], lungs, len(lungs.indices))
        compared = _computed(name, exact[name], lungs, _COMPARED)
        if (problem := judged(name, values, compared)) is not None:
            return problem, len(lungs.indices)
    return None, len(lungs.indices)


def _computed(name: str, loaded: LoadedNetwork, lungs: LungSlices, count: int) -> NDArray[np.float32]:
    """Probabilities of the first slices: (M,) of the classifier, (M, h, w) of the segmenter."""
    if name == CLASSIFIER:
        return classify(loaded.network, lungs.crops[:count]).probabilities
    return segment(loaded.network, lungs.crops[:count], lungs.regions[:count])


def judged(name: str, values: NDArray[np.float32], exact: NDArray[np.float32]) -> str | None:
    """What is wrong with the probabilities that a network gave.

    Args:
        name: Of the network.
        values: (M, ...), as a diagnosis computes them.
        exact: (m, ...) of the first slices in fp32.
    """
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        return f"the {name} gives what is no probability"
    apart = float(np.abs(values[: len(exact)] - exact).max())
    if not apart <= _PRECISION_TOLERANCE:  # NaN as well
        return f"the {name} differs by {apart:.2f} between 8 bits and fp32"
    return None
