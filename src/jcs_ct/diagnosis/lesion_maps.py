"""Lesion probability of all assessed slices. The segmenter runs once a study; everything else reads its output here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cropped_volume import Volume
from jcs_ct.diagnosis.classify import Progress
from jcs_ct.diagnosis.cross_check import shows_opacities
from jcs_ct.diagnosis.outside_lungs import LeftOut, drop_outside_lungs
from jcs_ct.diagnosis.slices import LungSlices
from jcs_ct.evaluation.evidence import marked_share

SCALE = 255
"""Probabilities are stored as bytes, 0..1 as 0..255."""
_AT_ONCE = 64
"""Slices whose probabilities are held as floats."""

Segment = Callable[[NDArray[np.uint8], NDArray[np.bool_], Progress | None], NDArray[np.float32]]
"""Gives the lesion probability (M, h, w) of crops and lung regions (M, h, w); see `segment.segment`."""


@dataclass(frozen=True)
class LesionMaps:
    """The segmenter's output on the crops; position k is slice `LungSlices.indices[k]` of the study."""

    patches: NDArray[np.uint8]
    """(M, h, w): lesion probability, stored as 0..255."""
    shares: NDArray[np.float64]
    """(M,): share of each slice's lungs that is marked; see `evaluation.evidence`."""
    left_out: LeftOut
    """What was marked outside the lungs, and is in neither of the above."""

    def above(self, level: float, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(S, h, w): where the probability on chosen slices exceeds a level in 0..1."""
        return np.asarray(self.patches[chosen] > SCALE * level)

    def show_opacities(self, regions: NDArray[np.bool_], level: float) -> NDArray[np.bool_]:
        """(M,): whether each slice shows opacities within the lungs' hulls (M, h, w); see `cross_check`."""
        return shows_opacities(self.patches, regions, SCALE * level)


def segment_slices(
    segment: Segment,
    lungs: LungSlices,
    level: float,
    given: Volume[np.bool_] | None = None,
    progress: Progress | None = None,
) -> LesionMaps:
    """Segment all assessed slices of a study, and leave out what lies outside the lungs.

    Args:
        segment: runs the segmenter.
        lungs: the slices.
        level: a pixel above this probability is lesion.
        given: (Z, H, W) lungs that the user gives; None if none were given.
        progress: called with the number of slices just done.
    """
    patches = np.empty(lungs.crops.shape, np.uint8)
    for few in in_parts(np.arange(len(patches))):
        patches[few] = np.round(SCALE * segment(lungs.crops[few], lungs.regions[few], progress))
    dropped = drop_outside_lungs(patches, lungs, SCALE * level, given)
    return LesionMaps(patches, _marked_shares(patches, lungs.regions), dropped)


def _marked_shares(patches: NDArray[np.uint8], regions: NDArray[np.bool_]) -> NDArray[np.float64]:
    def shares(few: NDArray[np.int64]) -> NDArray[np.float64]:
        return marked_share(patches[few].astype(np.float32) / np.float32(SCALE), regions[few])

    return np.concatenate([shares(few) for few in in_parts(np.arange(len(patches)))])


def in_parts(chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Positions of slices in groups that are small enough to be held as floats."""
    return (chosen[start : start + _AT_ONCE] for start in range(0, len(chosen), _AT_ONCE))
