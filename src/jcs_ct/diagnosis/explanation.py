"""Whether the classifier looked at the lungs and at the opacities, checked on each study.

A classifier can call the right slices for the wrong reason: the couch, the window or the patient's arms (DeGrave et
al., Nature Machine Intelligence 2021). Its activation map is exact and shows that. The share of the map in the lungs,
and in the segmenter's outlines, is compared with that of a uniform map (`evaluation.localisation` does the same against
a reader's masks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import Volume, shown_slices
from jcs_ct.diagnosis.decision import ExplanationCheck
from jcs_ct.notices import Notice, notice
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import Study

ELSEWHERE = 1.0
"""A map lies elsewhere if its share in the lungs, or in the outlined opacities, is below this multiple of a uniform
map's share. Such a map explains nothing. Chance needs no fitting and holds for any weights. With the present weights,
no slice with a reader's masks outside the test sets comes so low (50 slices of `covid-19-ct100`: at least 1.09 in the
lungs, 1.18 in opacities), nor does any group of `sars-cov-2-ct` validation slices (at least 1.08 in the lungs)."""


def check_explanation(
    activation: Volume[np.uint8],
    lungs: Volume[np.bool_],
    labels: Volume[np.uint16],
    infected: NDArray[np.int64],
    box: Box,
    study: Study,
) -> ExplanationCheck | None:
    """Compare the maps of infected slices with lungs and opacities; None without infected slices, or if maps are empty.

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


def looks_elsewhere(check: ExplanationCheck | None) -> tuple[Notice, ...]:
    """Whether the maps lie outside the lungs, or outside the opacities outlined in them."""
    if check is None:
        return ()
    if check.times_chance_in_lungs is None or check.times_chance_in_lungs < ELSEWHERE:
        shares = {"share": 100 * check.in_lungs, "chance": 100 * check.chance_in_lungs}
        return (notice("activation-outside-lungs", slices=check.slices, **shares),)
    if check.times_chance_in_lesions is None:
        return (notice("no-opacity-outlined", slices=check.slices),)
    if check.times_chance_in_lesions < ELSEWHERE:
        shares = {"share": 100 * check.in_lesions, "chance": 100 * check.chance_in_lesions}
        return (notice("activation-outside-opacities", slices=check.slices, **shares),)
    return ()


def _overlap(first: tuple[slice, slice], second: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(first, second, strict=True)
    )
    return rows, columns
