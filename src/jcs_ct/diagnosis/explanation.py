"""Whether the classifier looked at what it should have, checked on each study.

A classifier can call the right slices for the wrong reason: by the couch, the window or the patient's arms (DeGrave et
al., Nature Machine Intelligence 2021). Its map is exact, so that shows. The share of the map that lies in the lungs,
and in what the segmenter outlined, is held against that of a map which is the same everywhere
(`evaluation.localisation` has the same against a reader's masks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import Volume, shown_slices
from jcs_ct.diagnosis.result import ExplanationCheck
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import Study

ELSEWHERE = 1.0
"""A map looks elsewhere if less of it lies in the lungs, or in the outlined opacities, than this times as much as of
one that is equal everywhere: such a map explains nothing. Chance needs no fitting and holds for weights to come. With
the present ones no slice with a reader's masks that is not for testing comes so low (50 of `covid-19-ct100`: at least
1.09 in the lungs, 1.18 in opacities), and no group of the validation slices of `sars-cov-2-ct` (at least 1.08 in the
lungs)."""


def check_explanation(
    activation: Volume[np.uint8],
    lungs: Volume[np.bool_],
    labels: Volume[np.uint16],
    infected: NDArray[np.int64],
    box: Box,
    study: Study,
) -> ExplanationCheck | None:
    """Hold the maps of infected slices against lungs and opacities; None where there are none, or they are empty.

    Args:
        activation: (Z, H, W) maps, 255 = the strongest of the study.
        lungs: (Z, H, W) the whole lungs.
        labels: (Z, H, W) 0 or an opacity.
        infected: (M,) which slices.
        box: what the network saw of each.
        study: for what of a slice is padding.
    """

    def shares(z: int) -> NDArray[np.float64]:
        seen = _overlap(box.inside((activation.shape[1], activation.shape[2])), study.own_pixels(z))
        values, lung, lesion = (volume[z][seen] for volume in (activation, lungs, labels))
        # In whole numbers: no floats of the size of a slice.
        total = int(values.sum(dtype=np.int64)) or 1
        inside = (int(values[lung].sum(dtype=np.int64)), int(values[lesion > 0].sum(dtype=np.int64)))
        area = values.size or 1
        return np.array(
            [inside[0] / total, np.count_nonzero(lung) / area, inside[1] / total, np.count_nonzero(lesion) / area]
        )

    if not len(infected) or not shown_slices(activation):
        return None
    means = np.mean(parallel_map(shares, infected.tolist()), axis=0)
    return ExplanationCheck(len(infected), *(float(value) for value in means))


def looks_elsewhere(check: ExplanationCheck | None) -> tuple[str, ...]:
    """What to tell the reader of a result whose maps look past the lungs, or past what was outlined in them."""
    if check is None:
        return ()
    called = f"of the activation mapping on the {check.slices} infected slice(s)"
    if check.times_chance_in_lungs is None or check.times_chance_in_lungs < ELSEWHERE:
        return (
            f"the classifier looked past the lungs: {_percent(check.in_lungs)} {called} lies in them, and they take "
            f"{_percent(check.chance_in_lungs)} of what it saw; that these slices are infected is not explained",
        )
    if check.times_chance_in_lesions is None:
        return (f"no opacity was outlined that would explain the {check.slices} infected slice(s)",)
    if check.times_chance_in_lesions < ELSEWHERE:
        return (
            f"the classifier looked past the outlined opacities: {_percent(check.in_lesions)} {called} lies in them, "
            f"and they take {_percent(check.chance_in_lesions)} of what it saw; that these slices are infected is not "
            "explained by what is outlined",
        )
    return ()


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"


def _overlap(first: tuple[slice, slice], second: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(first, second, strict=True)
    )
    return rows, columns
