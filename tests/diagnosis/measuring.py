"""A mask measured in one step, as most tests want it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.measure import MeasureSettings, find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Lesion, Measures
from jcs_ct.study.volume import Study


def measure_mask(
    mask: NDArray[np.bool_],
    probability: NDArray[np.floating] | NDArray[np.uint8] | None,
    lungs: NDArray[np.bool_],
    study: Study,
    settings: MeasureSettings | None = None,
    lobes: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint16], tuple[Lesion, ...], Measures]:
    """Labels, lesions and totals of a mask (Z, H, W)."""
    labels = find_lesions(mask, study, settings or MeasureSettings())
    found = measure_lesions(labels, probability, lungs, study, lobes)
    return np.asarray(labels), found.lesions, found.measures
