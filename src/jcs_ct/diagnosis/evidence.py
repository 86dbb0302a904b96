"""The probability that a slice is infected, by whatever the weights and the settings say decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.diagnoser_settings import DecideBy
from jcs_ct.errors import UsageError
from jcs_ct.evaluation.evidence import SliceEvidence
from jcs_ct.weights import load_evidence

if TYPE_CHECKING:
    from jcs_ct.diagnosis.classify import Scores  # at run time it would load the engine, which measuring goes without
    from jcs_ct.diagnosis.lesion_maps import LesionMaps


@dataclass(frozen=True)
class StudyEvidence:
    """What both networks say of the M assessed slices of a study."""

    probabilities: NDArray[np.float32]
    """(M,): that each slice is infected. These decide."""
    scores: Scores
    """Of the classifier."""
    maps: LesionMaps
    """Of the segmenter."""
    joint: bool
    """Whether both tasks decide; else `probabilities` are those of the classifier."""


def load_slice_evidence(weights: Path, decide_by: DecideBy | None) -> SliceEvidence | None:
    """What weighs both tasks into one probability; None if the classifier alone decides.

    Args:
        weights: folder with `manifest.json`.
        decide_by: as the user chose; if None, both tasks wherever the manifest has `evidence`.

    Raises:
        UsageError: both tasks are to decide, and the manifest has no `evidence`.
        WeightsError: the folder holds no readable manifest.
    """
    if decide_by is DecideBy.CLASSIFIER:
        return None
    fitted = load_evidence(weights)
    if fitted is None and decide_by is DecideBy.JOINT:
        raise UsageError(
            f"{weights}: the manifest has no `evidence`, which a joint decision needs; fit it with jcs calibrate "
            "--only evidence, or decide by the classifier"
        )
    return None if fitted is None else SliceEvidence(**fitted)


def weigh(scores: Scores, maps: LesionMaps, evidence: SliceEvidence | None) -> StudyEvidence:
    """Combine what both networks say of the assessed slices: the lower of two probabilities counts.

    The weighed evidence follows the marked share, and tumours are marked as well. The classifier calls the bases of
    healthy lungs infected, where nothing is marked. Only where both agree are uninfected whole studies negative.

    Args:
        scores: of the classifier.
        maps: of the segmenter.
        evidence: weighs the two; None if the classifier alone decides.
    """
    if evidence is None:
        return StudyEvidence(scores.probabilities, scores, maps, joint=False)
    both = np.minimum(evidence.apply(scores.margins, maps.shares), scores.probabilities)
    return StudyEvidence(both, scores, maps, joint=True)
