"""Opacities outlined on the slices of a study, on the study's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.composition import dense_parts
from jcs_ct.diagnosis.decision import Decision, Verdict
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings
from jcs_ct.diagnosis.findings import put_on_grid
from jcs_ct.diagnosis.lesion_maps import LesionMaps, in_parts
from jcs_ct.diagnosis.slices import LungSlices
from jcs_ct.morphology import Mask


@dataclass(frozen=True)
class Opacities:
    """The segmenter's output on the study's grid."""

    probability: CroppedVolume[np.uint8]
    """(Z, H, W): lesion probability, stored as 0..255."""
    dense: CroppedVolume[np.bool_] | None
    """(Z, H, W): where opacities are consolidated; None if that is unknown."""
    segmented: NDArray[np.bool_]
    """(Z,): on which slices opacities are outlined."""

    def above(self, level: int, within: Mask | None = None) -> CroppedVolume[np.bool_]:
        """(Z, H, W): where the stored probability exceeds a level, within a mask (Z, H, W) if one is given."""

        def shown(z: int) -> Mask:
            plane = self.probability[z] > level
            return plane if within is None else plane & within[z]

        return CroppedVolume.made(self.probability.shape, np.bool_, shown, self.probability.shown())


def suspect_slices(
    decision: Decision, probabilities: NDArray[np.float32], settings: DiagnoserSettings
) -> NDArray[np.int64]:
    """(S,): positions of the assessed slices on which opacities are outlined (paper §III-C: of positive patients).

    If the segmenter alone contradicts a negative verdict, these are all slices: the reader sees what it found.

    Args:
        decision: with its cross-check.
        probabilities: (M,) of the assessed slices.
        settings: hold the levels.
    """
    if decision.verdict is Verdict.POSITIVE:
        return np.flatnonzero(probabilities >= settings.suspect_probability)
    check = decision.cross_check
    if check is not None and not check.segmenter_agrees:
        return np.arange(len(probabilities))
    return np.flatnonzero(probabilities >= settings.rule.slice_probability)


def outline(
    lungs: LungSlices, maps: LesionMaps, chosen: NDArray[np.int64], level: float, consolidation_hu: float | None
) -> Opacities:
    """Outline opacities on the chosen slices.

    Args:
        lungs: the slices.
        maps: of all of them.
        chosen: (S,) positions among them.
        level: a pixel above this probability is lesion.
        consolidation_hu: opacities denser than this are consolidated; None if the weights hold no level.
    """
    study, shape = lungs.study, lungs.study.voxels.shape
    volume, segmented = CroppedVolume(shape, np.uint8), np.zeros(len(study), bool)
    dense = None if consolidation_hu is None else CroppedVolume(shape, np.bool_)
    for few in in_parts(chosen):
        put_on_grid(volume, lungs, lungs.indices[few], maps.patches[few].astype(np.float32), 1.0)
        if dense is not None and consolidation_hu is not None:
            parts = consolidation(lungs.crops[few], maps.above(level, few), consolidation_hu)
            shown = parts.any((1, 2))  # empty ones need not be resized
            put_on_grid(dense, lungs, lungs.indices[few][shown], parts[shown].astype(np.float32), 1.0)
    segmented[lungs.indices[chosen]] = True
    return Opacities(volume, dense, segmented)


def consolidation(crops: NDArray[np.uint8], opacities: NDArray[np.bool_], level_hu: float) -> Mask:
    """(M, h, w): where opacities (M, h, w) on crops (M, h, w) are consolidated; see `composition.dense_parts`."""
    return np.stack(parallel_map(lambda k: dense_parts(crops[k], opacities[k], level_hu), range(len(crops))))
