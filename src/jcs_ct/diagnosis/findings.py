"""From values on crops to the study's grid and to one score per slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jcs_ct.cores import parallel_map
from jcs_ct.cropped_volume import CroppedVolume, S
from jcs_ct.diagnosis.classify import Scores
from jcs_ct.diagnosis.decision import Decision, SliceScore
from jcs_ct.diagnosis.evidence import StudyEvidence
from jcs_ct.diagnosis.explanation import check_explanation
from jcs_ct.diagnosis.measured import Measured
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


def explained(
    decision: Decision, evidence: StudyEvidence, lungs: LungSlices, measured: Measured, cut: float
) -> Decision:
    """The decision with its activation maps, and whether these lie where opacities are.

    Args:
        decision: on the study.
        evidence: that it rests on.
        lungs: the assessed slices.
        measured: lungs and opacities.
        cut: a slice with a higher probability is infected.
    """
    maps = activation_volume(lungs, evidence.scores)
    infected = lungs.indices[evidence.probabilities > cut]
    check = check_explanation(maps, measured.lungs, measured.labels, infected, lungs.box, lungs.study)
    return replace(decision, activation=maps, explanation=check)


def slice_scores(lungs: LungSlices, evidence: StudyEvidence, infected_above: float) -> tuple[SliceScore, ...]:
    """One score per slice of the study; empty scores for slices that were not assessed.

    Args:
        lungs: the assessed slices.
        evidence: of both networks.
        infected_above: a slice with a higher probability is infected.
    """
    found, nothing = [SliceScore()] * len(lungs.study), [None] * len(lungs.indices)
    scores, deciding = evidence.scores, evidence.probabilities.tolist()
    kept = scores.probabilities.tolist() if evidence.joint else nothing
    atypicality = nothing if scores.atypicality is None else scores.atypicality.tolist()
    for index, probability, far, classifier in zip(lungs.indices.tolist(), deciding, atypicality, kept, strict=True):
        found[index] = SliceScore(probability, probability > infected_above, far, classifier)
    return tuple(found)
