"""Masks of lungs and lobes that a user gives, and the lungs that measures are made against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jcs_ct.cropped_volume import Volume, marked_pixels, shown_slices
from jcs_ct.diagnosis.lung_regions import LOBES, Labels
from jcs_ct.diagnosis.slices import FoundLungs
from jcs_ct.diagnosis.whole_lungs import whole_lungs
from jcs_ct.errors import UsageError
from jcs_ct.morphology import Mask
from jcs_ct.normalization import inside_mask
from jcs_ct.notices import Notice, notice
from jcs_ct.study.volume import Study

_NOTEWORTHY = 0.01
"""Share of the opacities outside a given lung mask above which the reader is told."""


@dataclass(frozen=True)
class GivenMasks:
    """Masks that the user gives, on the grid of the study as it was read."""

    lungs: Mask | None = None
    """(Z, H, W) canonical. Overrides the lungs that are found: nothing outside it is lung or opacity."""
    lobes: Labels | None = None
    """(Z, H, W) canonical, 0 or the labels of `lung_regions.LOBES`."""

    def fit(self, study: Study) -> None:
        """Check the masks against their study.

        Raises:
            UsageError: a shape differs, or a label is no lobe.
        """
        for name, mask in (("lung", self.lungs), ("lobe", self.lobes)):
            if mask is not None and mask.shape != study.voxels.shape:
                raise UsageError(
                    f"the {name} mask has the shape {mask.shape}, expected {study.voxels.shape} (slices, rows, "
                    "columns) as the study: make it on the study's own grid"
                )
        if self.lobes is not None and (highest := int(self.lobes.max())) > len(LOBES):
            raise UsageError(f"the lobe mask holds the label {highest}, expected 0 to {len(LOBES)}: {', '.join(LOBES)}")

    def turned(self) -> GivenMasks:
        """The masks turned by a quarter, like a study that was brought upright (`normalization.turned_upright`)."""
        return GivenMasks(
            None if self.lungs is None else np.rot90(self.lungs, 1, (1, 2)),
            None if self.lobes is None else np.rot90(self.lobes, 1, (1, 2)),
        )

    def names(self) -> list[str]:
        """Names of the masks that were given."""
        return [name for name, mask in vars(self).items() if mask is not None]

    def whole_lungs(self) -> Mask | None:
        """(Z, H, W): the lung mask, else all lobes together; None if neither was given."""
        if self.lungs is not None:
            return self.lungs
        return None if self.lobes is None else self.lobes > 0


def lungs_to_measure(given: GivenMasks, found: FoundLungs | None, labels: Volume[np.uint16]) -> Volume[np.bool_] | None:
    """(Z, H, W): the lungs that opacities are measured against: given ones, else found ones; None if there are none.

    Args:
        given: on the voxels of the study that is measured.
        found: completed by what is dense in them; see `whole_lungs`.
        labels: (Z, H, W), 0 or an opacity.
    """
    lungs = given.whole_lungs()
    if lungs is not None or found is None:
        return lungs
    return whole_lungs(found.lung_mask, labels, found.overview, inside_mask(found.study), found.assessed)


def outside_given_lungs(opacities: Volume[np.bool_], given: GivenMasks, *, measured: bool) -> tuple[Notice, ...]:
    """Whether opacities lie outside the lungs that were given.

    Args:
        opacities: (Z, H, W).
        given: on the same voxels.
        measured: whether these opacities are measured all the same, or left out.
    """
    lungs = given.whole_lungs()
    if lungs is None:
        return ()
    total = int(marked_pixels(opacities).sum())
    outside = sum(np.count_nonzero(opacities[z] & ~lungs[z]) for z in shown_slices(opacities))
    if outside <= _NOTEWORTHY * total:
        return ()
    code = "outlines-outside-lungs" if measured else "opacities-outside-lungs"
    return (notice(code, percent=100 * outside / total),)
