"""Opacities outlined on the slices of a study, and how many slices show any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.classify import Progress
from jcs_ct.diagnosis.composition import dense_parts
from jcs_ct.diagnosis.cross_check import cross_check, shows_opacities, slices_to_look_at
from jcs_ct.diagnosis.decision import CrossCheck, Decision, Verdict
from jcs_ct.diagnosis.findings import put_on_grid
from jcs_ct.diagnosis.reporter import Reporter
from jcs_ct.diagnosis.slices import LungSlices
from jcs_ct.morphology import Mask

_AT_ONCE = 64
"""Slices whose probabilities are held as floats."""

Segment = Callable[[NDArray[np.uint8], NDArray[np.bool_], Progress | None], NDArray[np.float32]]
"""Gives the lesion probability (M, h, w) of crops and lung regions (M, h, w); see `segment.segment`."""


@dataclass(frozen=True)
class Opacities:
    """The segmenter's output on the study's grid."""

    probability: CroppedVolume[np.uint8]
    """(Z, H, W): lesion probability, stored as 0..255."""
    dense: CroppedVolume[np.bool_] | None
    """(Z, H, W): where opacities are consolidated; None if that is unknown."""
    segmented: NDArray[np.bool_]
    """(Z,): which slices were segmented."""
    marked: int
    """How many of these show opacities."""

    def above(self, level: int, within: Mask | None = None) -> CroppedVolume[np.bool_]:
        """(Z, H, W): where the stored probability exceeds a level, within a mask (Z, H, W) if one is given."""

        def shown(z: int) -> Mask:
            plane = self.probability[z] > level
            return plane if within is None else plane & within[z]

        return CroppedVolume.made(self.probability.shape, np.bool_, shown, self.probability.shown())


@dataclass(frozen=True)
class Outliner:
    """Runs a segmenter over the slices of a study."""

    segment: Segment
    lesion_probability: float
    """A pixel above this is lesion."""
    consolidation_hu: float | None
    """Opacities denser than this are consolidated; None if the weights hold no level."""

    def outline_suspects(
        self, lungs: LungSlices, suspect: NDArray[np.int64], decision: Decision, report: Reporter
    ) -> tuple[Opacities, CrossCheck | None]:
        """Outline opacities on suspect slices, and check whether they agree with the decision.

        A negative study is cross-checked first. If the segmenter disagrees, all slices are outlined.

        Args:
            lungs: the slices.
            suspect: (S,) which of them are suspect.
            decision: by the classifier.
            report: receives progress.
        """
        verdict, rule = decision.verdict, decision.rule
        assert rule is not None
        agreement = None
        if verdict is Verdict.NEGATIVE:
            seen = slices_to_look_at(lungs.extents_mm, len(lungs.indices))
            report.stage("cross-checking", len(seen))
            agreement = cross_check(verdict, rule, len(seen), self.count_marked(lungs, seen, report.advance))
            if agreement is not None and not agreement.agrees:
                suspect = np.arange(len(lungs.indices))
        report.stage("outlining opacities", len(suspect))
        opacities = self.outline(lungs, suspect, report.advance)
        return opacities, agreement or cross_check(verdict, rule, len(suspect), opacities.marked)

    def outline(self, lungs: LungSlices, chosen: NDArray[np.int64], progress: Progress) -> Opacities:
        """Outline opacities on the chosen (S,) ones of the assessed slices."""
        study = lungs.study
        volume, segmented, marked = CroppedVolume(study.voxels.shape, np.uint8), np.zeros(len(study), bool), 0
        dense = None if self.consolidation_hu is None else CroppedVolume(volume.shape, np.bool_)
        for few in _in_parts(chosen):
            patches = self.segment(lungs.crops[few], lungs.regions[few], progress)
            marked += self._count(patches, lungs, few)
            put_on_grid(volume, lungs, lungs.indices[few], patches, 255.0)
            if dense is not None and self.consolidation_hu is not None:
                parts = consolidation(lungs.crops[few], patches > self.lesion_probability, self.consolidation_hu)
                shown = parts.any((1, 2))  # empty ones need not be resized
                put_on_grid(dense, lungs, lungs.indices[few][shown], parts[shown].astype(np.float32), 1.0)
        segmented[lungs.indices[chosen]] = True
        return Opacities(volume, dense, segmented, marked)

    def count_marked(self, lungs: LungSlices, chosen: NDArray[np.int64], progress: Progress) -> int:
        """How many of the chosen slices show opacities; the outlines are not kept."""
        return sum(
            self._count(self.segment(lungs.crops[few], lungs.regions[few], progress), lungs, few)
            for few in _in_parts(chosen)
        )

    def _count(self, patches: NDArray[np.float32], lungs: LungSlices, few: NDArray[np.int64]) -> int:
        return int(shows_opacities(patches, lungs.regions[few], self.lesion_probability).sum())


def consolidation(crops: NDArray[np.uint8], opacities: NDArray[np.bool_], level_hu: float) -> Mask:
    """(M, h, w): where opacities (M, h, w) on crops (M, h, w) are consolidated; see `composition.dense_parts`."""
    return np.stack(parallel_map(lambda k: dense_parts(crops[k], opacities[k], level_hu), range(len(crops))))


def _in_parts(chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (chosen[start : start + _AT_ONCE] for start in range(0, len(chosen), _AT_ONCE))
