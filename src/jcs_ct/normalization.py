"""Normalize a study: one intensity scale, upright, lungs found. Shared by training and diagnosing.

`preprocessing` defines the normalized form and `lungs` the search.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct import lungs as lung_search
from jcs_ct import preprocessing
from jcs_ct.cores import parallel_map
from jcs_ct.lungs import LungSearch
from jcs_ct.notices import notice
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import IntensityKind, Study


@dataclass(frozen=True)
class NormalStudy:
    """A normalized study with its lungs."""

    study: Study
    """Upright."""
    images: NDArray[np.uint8]
    """(Z, H, W): 0..1 stored as 0..255."""
    overview: NDArray[np.uint8]
    """(Z, h, w): the same on the coarse grid on which lungs are searched."""
    lungs: NDArray[np.bool_]
    """(Z, H, W): both lungs."""
    shown: NDArray[np.bool_]
    """(Z,): whether each slice shows enough lung."""
    turned: bool
    """Whether the study was turned by 90° counter-clockwise."""

    def box(self, size: tuple[int, int]) -> Box | None:
        """Box around the lungs of all lung slices, with the aspect ratio of the networks' input size."""
        if not self.shown.any():
            return None
        shown = np.flatnonzero(self.shown)
        box = lung_search.lung_box([self.lungs[k] for k in shown], [self.images[k] for k in shown])
        return None if box is None else preprocessing.network_box(box, size)


def inside_mask(study: Study) -> NDArray[np.bool_] | None:
    """(Z, H, W): False where a pixel is padding; None if there is none."""
    if study.extents is None:
        return None
    inside = np.zeros(study.voxels.shape, bool)
    for index in range(len(study)):
        inside[(index, *study.own_pixels(index))] = True
    return inside


def normalized_images(study: Study) -> NDArray[np.uint8]:
    """(Z, H, W): the study's voxels on the common intensity scale."""
    if study.intensity is IntensityKind.HU:
        out = np.empty(study.voxels.shape, np.uint8)

        def window(index: int) -> None:
            out[index] = preprocessing.window_hu(study.voxels[index])

        parallel_map(window, range(len(out)))  # slice by slice: no float copy of the volume
        return out
    inside = inside_mask(study)
    grey = study.voxels.astype(np.uint8, copy=False)
    normal = preprocessing.normalize_grey(grey, np.ones(grey.shape, bool) if inside is None else inside)
    if inside is not None:
        normal[~inside] = 0
    return normal


def turned_upright(study: Study) -> Study:
    """Turn a study by 90° counter-clockwise within its slices; its grid keeps the way back."""
    width = study.voxels.shape[2]
    z, row, column = study.grid.axes
    flip_z, flip_row, flip_column = study.grid.flips
    extents = None
    if study.extents is not None:
        top, bottom, left, right = study.extents.T
        extents = np.stack([width - right, width - left, top, bottom], axis=1)
    return replace(
        study,
        voxels=np.ascontiguousarray(np.rot90(study.voxels, 1, (1, 2))),
        # A turn exchanges the two axes and reverses the first.
        grid=replace(study.grid, axes=(z, column, row), flips=(flip_z, not flip_column, flip_row)),
        extents=extents,
        notices=(*study.notices, notice("quarter-turn")),
    )


def lies_on_its_side(study: Study, lungs: NDArray[np.bool_]) -> bool:
    """Whether a study that does not state its orientation must be turned by 90°, judged by its lungs."""
    stated = study.plane is not None or study.geometry is not None
    return not stated and bool(lung_search.quarter_turns(lungs))


def normal_study(study: Study, search: LungSearch = lung_search.find_lungs) -> NormalStudy:
    """Normalize a study of any source and find its lungs."""
    images = normalized_images(study)
    overview = lung_search.overview(images)
    lungs = search(images, inside_mask(study), overview)
    turned = lies_on_its_side(study, lungs)
    if turned:
        study = turned_upright(study)
        images, overview = (np.ascontiguousarray(np.rot90(stack, 1, (1, 2))) for stack in (images, overview))
        lungs = search(images, inside_mask(study), overview)  # anew: the network draws them best upright
    return NormalStudy(study, images, overview, lungs, lung_search.lung_slices(lungs, inside_mask(study)), turned)
