"""From a study to the slices that networks see, and back to its voxel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jcs_ct import lungs as lung_search
from jcs_ct import preprocessing
from jcs_ct.diagnosis.lung_regions import middle_column, mirrored
from jcs_ct.one_form import normal_study
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import Study

MISSING_LUNG = 0.1
"""A lung with less than this share of the other one's area on a slice is missing there."""


@dataclass(frozen=True)
class LungSlices:
    """The lung slices of a study in the one form.

    Attributes that are arrays share one order: position k is slice `indices[k]` of the study.
    """

    study: Study
    """Upright."""
    indices: NDArray[np.int64]
    """(M,): slices of the study that show enough lung."""
    crops: NDArray[np.uint8]
    """(M, h, w): what the networks see."""
    regions: NDArray[np.bool_]
    """(M, h, w): convex hull of the lungs, which every opacity reaches into; dense ones are not in the lung mask."""
    box: Box
    """Where the crops were cut out."""
    lung_mask: NDArray[np.bool_]
    """(Z, H, W): what holds air, and what that encloses; see `whole_lungs` for the rest."""
    overview: NDArray[np.uint8]
    """(Z, h, w): the whole slices in the one form, on the coarse grid that lungs are sought on."""

    def to_grid(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (h, w) on a crop to (H, W) on the study's slice."""
        height, width = self.study.voxels.shape[1:]
        return preprocessing.paste_back(patch, self.box, (height, width))


def find_lung_slices(study: Study, size: tuple[int, int]) -> LungSlices | None:
    """The slices with enough lung, cut out around the lungs; None where no lungs are found.

    Args:
        study: of any source; turned upright first if it does not state its orientation and lies on its side.
        size: height and width that the networks take.
    """
    found = normal_study(study, size)
    if found is None:
        return None
    images, lungs, indices, box = found.images, found.lungs, found.indices, found.box
    crops = np.stack([preprocessing.crop_resize(images[k], box, size) for k in indices])
    middle = middle_column(lungs)
    regions = np.stack([lesion_region(both_lungs(lungs[k], middle), box, size) for k in indices])
    return LungSlices(found.study, indices, crops, regions, box, lungs, _overview(images))


def _overview(normal: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(Z, H, W) with its longer side brought to `lungs.WORKING_SIZE` at most."""
    height, width = normal.shape[1:]
    step = max(height, width) / lung_search.WORKING_SIZE
    if step <= 1:
        return normal
    size = (max(1, round(width / step)), max(1, round(height / step)))
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in normal])


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
    """What every opacity on a crop reaches into: the convex hull of the lungs.

    Args:
        lungs: (H, W) lung mask of one slice.
        box: of the crop.
        size: of the crop.
    """
    cropped = preprocessing.crop_resize(lungs.astype(np.uint8) * 255, box, size) > 127
    return lung_search.convex_hull(cropped)
