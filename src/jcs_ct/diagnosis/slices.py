"""From a study to the slices that networks see, and back to its voxel grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from jcs_ct import lungs as lung_search
from jcs_ct import preprocessing
from jcs_ct.diagnosis.lung_regions import middle_column, mirrored
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import IntensityKind, SourceGrid, Study

QUARTER_TURN_REMARK = (
    "the pictures do not state their orientation; they were turned by 90° to bring the lungs side by side"
)


MISSING_LUNG = 0.1
"""A lung with less than this share of the other one's area on a slice is missing there."""
BORDER = 2
"""Pixels of a crop by which an opacity that has lung on one side only may miss the lung mask."""


@dataclass(frozen=True)
class FoundLungs:
    """The lungs of a study as threshold and shape tell them; no network takes part."""

    study: Study
    """Upright."""
    lung_mask: NDArray[np.bool_]
    """(Z, H, W): what holds air, and what that encloses; see `whole_lungs` for the rest."""
    overview: NDArray[np.uint8]
    """(Z, h, w): the whole slices in the one form, on the coarse grid that lungs are sought on."""
    assessed: NDArray[np.bool_]
    """(Z,): which slices show enough lung to be classified."""


@dataclass(frozen=True)
class LungSlices(FoundLungs):
    """The lung slices of a study in the one form.

    Of the attributes added here, those that are arrays share one order: position k is slice `indices[k]` of the study.
    """

    indices: NDArray[np.int64]
    """(M,): slices of the study that show enough lung."""
    crops: NDArray[np.uint8]
    """(M, h, w): what the networks see."""
    regions: NDArray[np.bool_]
    """(M, h, w): convex hull of the lungs, which every opacity reaches into; dense ones are not in the lung mask."""
    box: Box
    """Where the crops were cut out."""

    def to_grid(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (h, w) on a crop to (H, W) on the study's slice."""
        height, width = self.study.voxels.shape[1:]
        return preprocessing.paste_back(patch, self.box, (height, width))


def inside_mask(study: Study) -> NDArray[np.bool_] | None:
    """(Z, H, W): which pixels are the input's own; None if all."""
    if study.extents is None:
        return None
    inside = np.zeros(study.voxels.shape, bool)
    for index in range(len(study)):
        inside[(index, *study.own_pixels(index))] = True
    return inside


def one_form(study: Study) -> NDArray[np.uint8]:
    """(Z, H, W): the study's voxels on the one intensity scale."""
    if study.intensity is IntensityKind.HU:
        out = np.empty(study.voxels.shape, np.uint8)
        for index, hu in enumerate(study.voxels):  # slice by slice: no float copy of the volume
            out[index] = preprocessing.window_hu(hu)
        return out
    inside = inside_mask(study)
    grey = study.voxels.astype(np.uint8, copy=False)
    normal = preprocessing.normalise_grey(grey, np.ones(grey.shape, bool) if inside is None else inside)
    if inside is not None:
        normal[~inside] = 0
    return normal


def turned_upright(study: Study) -> Study:
    """A study turned by a quarter counter-clockwise within its slices; its grid remembers the way back."""
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
        # Turning is exchanging the two axes and reversing the first of them.
        grid=SourceGrid((z, column, row), (flip_z, not flip_column, flip_row), study.grid.affine),
        extents=extents,
        remarks=(*study.remarks, QUARTER_TURN_REMARK),
    )


def find_lung_slices(study: Study, size: tuple[int, int]) -> LungSlices | None:
    """The slices with enough lung, cut out around the lungs; None where no lungs are found.

    Args:
        study: of any source; turned upright first if it does not state its orientation and lies on its side.
        size: height and width that the networks take.
    """
    found, normal = _seek_lungs(study)
    lungs, shown = found.lung_mask, found.assessed
    box = lung_search.lung_box(lungs[shown], normal[shown]) if shown.any() else None
    if box is None:
        return None
    box = preprocessing.network_box(box, size)
    indices = np.flatnonzero(shown)
    crops = np.stack([preprocessing.crop_resize(normal[k], box, size) for k in indices])
    middle = middle_column(lungs)
    regions = np.stack([lesion_region(both_lungs(lungs[k], middle), box, size) for k in indices])
    return LungSlices(found.study, lungs, found.overview, shown, indices, crops, regions, box)


def find_lungs(study: Study) -> FoundLungs | None:
    """The lungs of a study of any source, turned upright as by `find_lung_slices`; None where no slice shows any."""
    found, _ = _seek_lungs(study)
    return found if found.assessed.any() else None


def _seek_lungs(study: Study) -> tuple[FoundLungs, NDArray[np.uint8]]:
    """The lungs, and the slices in the one form (Z, H, W)."""
    normal = one_form(study)
    lungs = lung_search.find_lungs(normal, inside_mask(study))
    if lies_on_its_side(study, lungs):
        study = turned_upright(study)
        normal = np.ascontiguousarray(np.rot90(normal, 1, (1, 2)))
        lungs = np.ascontiguousarray(np.rot90(lungs, 1, (1, 2)))
    shown = lung_search.lung_slices(lungs, inside_mask(study))
    return FoundLungs(study, lungs, _overview(normal), shown), normal


def _overview(normal: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(Z, H, W) with its longer side brought to `lungs.WORKING_SIZE` at most."""
    height, width = normal.shape[1:]
    step = max(height, width) / lung_search.WORKING_SIZE
    if step <= 1:
        return normal
    size = (max(1, round(width / step)), max(1, round(height / step)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in normal])


def lies_on_its_side(study: Study, lungs: NDArray[np.bool_]) -> bool:
    """Whether a study that does not state its orientation has to be turned by a quarter, told by its lungs."""
    stated = study.plane is not None or study.geometry is not None
    return not stated and bool(lung_search.quarter_turns(lungs))


def both_lungs(lungs: NDArray[np.bool_], middle: int) -> NDArray[np.bool_]:
    """(H, W): the lungs of a slice, mirrored where one of them is missing.

    A lobe that is dense throughout leaves no air on its side, and its opacity would not reach into the other lung.

    Args:
        lungs: (H, W) lung mask of one slice.
        middle: first column of the patient's left half.
    """
    low, high = int(lungs[:, :middle].sum()), int(lungs[:, middle:].sum())
    if min(low, high) >= MISSING_LUNG * max(low, high):
        return lungs
    return lungs | mirrored(lungs, 2 * middle - 1)


def lesion_region(lungs: NDArray[np.bool_], box: Box, size: tuple[int, int]) -> NDArray[np.bool_]:
    """What every opacity on a crop reaches into: the convex hull of the lungs, and the border around it.

    Args:
        lungs: (H, W) lung mask of one slice.
        box: of the crop.
        size: of the crop.
    """
    cropped = preprocessing.crop_resize(lungs.astype(np.uint8) * 255, box, size) > 127
    # On both sides of the border pixels hold lung and opacity; neither the mask nor the outline need hold these.
    hull = lung_search.convex_hull(cropped)
    return np.asarray(ndimage.binary_dilation(hull, np.ones((3, 3), bool), iterations=BORDER))
