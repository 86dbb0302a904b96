"""From what was computed on crops to the study's grid, and to one finding a slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume, S
from jcs_ct.diagnosis.classify import Scores
from jcs_ct.diagnosis.measure import Measured, slice_burden, unassessed
from jcs_ct.diagnosis.result import SliceFinding
from jcs_ct.diagnosis.slices import LungSlices


def put_on_grid(
    volume: CroppedVolume[S],
    slices: LungSlices,
    indices: NDArray[np.int64],
    patches: NDArray[np.float32],
    scale: float,
) -> None:
    """Values on the crops of some slices, times `scale` and rounded, into (Z, H, W) on the study's grid."""

    def put(k: int) -> None:
        index = int(indices[k])
        own = slices.study.own_pixels(index)
        volume.put(index, np.round(scale * slices.to_grid(patches[k])[own]), (own[0].start, own[1].start))

    parallel_map(put, range(len(indices)))


def activation_volume(slices: LungSlices, scores: Scores) -> CroppedVolume[np.uint8]:
    """(Z, H, W): activation maps, 255 = the strongest of the study."""
    volume = CroppedVolume(slices.study.voxels.shape, np.uint8)
    strongest = float(scores.activation_maps.max(initial=0.0))
    if strongest > 0:
        put_on_grid(volume, slices, slices.indices, scores.activation_maps, 255 / strongest)
    return volume


def slice_findings(
    slices: LungSlices, scores: Scores, measured: Measured, segmented: NDArray[np.int64], infected_above: float
) -> tuple[SliceFinding, ...]:
    """One finding a slice; areas and shares where the slice was segmented.

    Args:
        slices: of the study.
        scores: of the assessed slices.
        measured: what was outlined.
        segmented: (S,) which of the assessed slices were segmented.
        infected_above: probability.
    """
    study = slices.study
    areas, shares = slice_burden(measured.labels, measured.lungs, study)
    findings = list(unassessed(study))
    outlined = set(slices.indices[segmented].tolist())
    for index, score, far in zip(slices.indices.tolist(), scores.probabilities.tolist(), scores.far_out, strict=True):
        findings[index] = replace(
            findings[index],
            assessed=True,
            probability=score,
            infected=score > infected_above,
            lesion_area_mm2=areas[index] if index in outlined else None,
            lesion_share=shares[index] if index in outlined else None,
            atypicality=far,
        )
    return tuple(findings)
