"""Opacities that the segmenter marks outside the lungs: stomach, colon, liver below a dome of the diaphragm.

An opacity lies in a lung, so aerated lung adjoins it. A full stomach has the density of consolidation, but the wall of
the chest or the diaphragm lies between it and the lung. Opacities whose rim hardly touches aerated lung are dropped
before slices are weighed, and before the measured lungs are completed by what is dense in them.

The rim is what counts, not the whole opacity: deep inside a large consolidation there is no aerated lung either. A lung
that is dense throughout touches none. An opacity that lies in what the lung network calls lung is kept, and so is one
that lies where the other lung, mirrored, is, or in lungs that the user gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import Volume
from jcs_ct.diagnosis.components import connected_components
from jcs_ct.diagnosis.lung_regions import middle_column, mirrored
from jcs_ct.diagnosis.measure import MeasureSettings, contiguous_blocks, known_extents
from jcs_ct.diagnosis.slices import LungSlices
from jcs_ct.morphology import dilated, eroded
from jcs_ct.notices import Notice, notice
from jcs_ct.preprocessing import AIR_THRESHOLD

REACH = 3
"""Pixels of a crop, about 3 mm: what lies this close to aerated lung adjoins it."""
LEAST_ADJOINING = 0.15
"""An opacity lies outside the lungs if a smaller share of its rim adjoins aerated lung. Stomachs have up to 0.05..."""
EXPECTED = 0.5
"""...unless at least this share of it lies where lung is expected."""
NOTEWORTHY_ML = 1.0
"""The reader is told of a larger volume that was left out."""
NOTEWORTHY_SHARE = 0.01
"""The same of all outlined opacities, where the input has no volumes."""


@dataclass(frozen=True)
class LeftOut:
    """How much was marked outside the lungs."""

    share: float
    """Of all that was marked, 0..1."""
    volume_ml: float | None
    """None if the input states no spacing."""


def drop_outside_lungs(
    patches: NDArray[np.uint8], lungs: LungSlices, above: float, given: Volume[np.bool_] | None = None
) -> LeftOut:
    """Clear, in place, opacities that lie outside the lungs.

    Args:
        patches: (M, h, w), lesion probability on the crops.
        lungs: the same slices.
        above: a pixel above this value is lesion.
        given: (Z, H, W) lungs that the user gives; None if none were given.
    """
    found = _on_crops(lungs.lung_mask, lungs)
    aerated = found & (lungs.crops < AIR_THRESHOLD * 255)
    expected = found | (mirrored(aerated, 2 * middle_column(aerated) - 1) if aerated.any() else aerated)
    if given is not None:
        expected |= _on_crops(given, lungs)
    lesions = patches > above
    components = connected_components(lesions, _blocks(lungs))
    rim = lesions & ~eroded(lesions, 1)
    size, inside, around, adjoining = (
        components.sizes_within(mask) for mask in (lesions, expected, rim, rim & dilated(aerated, REACH))
    )
    outside = (adjoining < LEAST_ADJOINING * around) & (inside < EXPECTED * size)
    outside[0] = False
    if not outside.any():
        return LeftOut(0.0, _volume(np.zeros(len(patches)), lungs))
    dropped = components.numbered(outside.astype(np.uint16))
    count = np.zeros(len(patches))

    def clear(k: int) -> None:
        marked = dropped[k] > 0
        count[k] = np.count_nonzero(marked)
        # Around it, too, where the probability falls off.
        patches[k][dilated(marked, REACH) & (marked | ~lesions[k])] = 0

    parallel_map(clear, dropped.shown())
    return LeftOut(float(count.sum() / size[1:].sum()), _volume(count, lungs))


def left_out(found: LeftOut) -> tuple[Notice, ...]:
    """Whether a noteworthy part of what was marked lies outside the lungs."""
    if found.volume_ml is None:
        if found.share <= NOTEWORTHY_SHARE:
            return ()
        return (notice("opacities-not-in-lungs-share", percent=100 * found.share),)
    if found.volume_ml <= NOTEWORTHY_ML:
        return ()
    return (notice("opacities-not-in-lungs", volume_ml=found.volume_ml, percent=100 * found.share),)


def _on_crops(mask: Volume[np.bool_], lungs: LungSlices) -> NDArray[np.bool_]:
    """(M, h, w): a mask (Z, H, W) on the crops."""
    size = (lungs.crops.shape[1], lungs.crops.shape[2])

    def crop(z: int) -> NDArray[np.bool_]:
        return preprocessing.crop_resize(mask[z].astype(np.uint8) * 255, lungs.box, size) > 127

    return np.stack(parallel_map(crop, lungs.indices.tolist()))


def _blocks(lungs: LungSlices) -> list[tuple[int, int]]:
    """Ranges of positions (start, stop) of slices that lie next to each other."""
    whole = contiguous_blocks(len(lungs.study), lungs.study.geometry, MeasureSettings().gap_factor)
    starts = np.isin(lungs.indices[1:], [start for start, _ in whole])
    cuts = (1 + np.flatnonzero(starts | (np.diff(lungs.indices) > 1))).tolist()
    return list(zip([0, *cuts], [*cuts, len(lungs.indices)], strict=True))


def _volume(pixels: NDArray[np.float64], lungs: LungSlices) -> float | None:
    """ML of so many pixels (M,) of the crops."""
    geometry, extents = lungs.study.geometry, known_extents(lungs.study.geometry)
    if geometry is None or extents is None:
        return None
    height, width = lungs.crops.shape[1:]
    area = geometry.pixel_area * (lungs.box.height / height) * (lungs.box.width / width)
    return float(pixels @ extents[lungs.indices] * area / 1000)
