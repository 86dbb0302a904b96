"""From a study to the slices that networks see, and back to its voxel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct import lungs as lung_search
from jcs_ct import preprocessing
from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.lung_regions import middle_column, mirrored
from jcs_ct.lungs import LungSearch
from jcs_ct.morphology import convex_hull, dilated
from jcs_ct.normalization import normal_study
from jcs_ct.preprocessing import Box
from jcs_ct.study.volume import Study

MISSING_LUNG = 0.1
"""A lung with less than this share of the other one's area on a slice is missing there."""
BORDER = 2
"""Pixels of a crop by which an opacity that has lung on one side only may miss the lung mask."""


@dataclass(frozen=True)
class FoundLungs:
    """The lungs of a study; see `lungs.LungFinder`."""

    study: Study
    """Upright."""
    lung_mask: CroppedVolume[np.bool_]
    """(Z, H, W): as the network draws them; see `whole_lungs` for dense parts that it misses."""
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

    @property
    def extents_mm(self) -> NDArray[np.float64] | None:
        """(M,) length along the patient that each assessed slice stands for; None where the input does not tell."""
        geometry = self.study.geometry
        if geometry is None:
            return None
        extents = geometry.slice_extents[self.indices]
        return None if np.isnan(extents).any() else extents

    def to_grid(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (h, w) on a crop to (H, W) on the study's slice."""
        height, width = self.study.voxels.shape[1:]
        return preprocessing.paste_back(patch, self.box, (height, width))


def find_lung_slices(
    study: Study, size: tuple[int, int], search: LungSearch = lung_search.find_lungs
) -> LungSlices | None:
    """The slices with enough lung, cropped around the lungs; None if no lungs are found.

    Args:
        study: of any source; turned upright first if it states no orientation and lies on its side.
        size: height and width of the networks' input.
        search: finds the lungs.
    """
    normal = normal_study(study, search)
    box = normal.box(size)
    if box is None:
        return None
    lungs, indices = normal.lungs, np.flatnonzero(normal.shown)
    middle = middle_column(lungs)
    crops = parallel_map(lambda k: preprocessing.crop_resize(normal.images[k], box, size), indices.tolist())
    regions = parallel_map(lambda k: lesion_region(both_lungs(lungs[k], middle), box, size), indices.tolist())
    return LungSlices(
        normal.study, CroppedVolume.of(lungs), normal.overview, normal.shown, indices, np.stack(crops),
        np.stack(regions), box,
    )  # fmt: skip


def find_lungs(study: Study) -> FoundLungs | None:
    """The lungs of a study of any source, turned upright as by `find_lung_slices`; None where no slice shows any."""
    normal = normal_study(study)
    if not normal.shown.any():
        return None
    return FoundLungs(normal.study, CroppedVolume.of(normal.lungs), normal.overview, normal.shown)


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
    return dilated(convex_hull(cropped), BORDER)
