"""Whether each task alone would come to the same verdict (not in the paper).

Classifier and segmenter both see every assessed slice. Whatever decides, the patient rule is also applied to what each
of them says alone. Slices on which the two disagree are wrong far more often than others
(docs/decisions/021-cross-check.md). The verdict stands; the reader is warned and sees the outlines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.decision import CrossCheck, Decision, Verdict
from jcs_ct.notices import Notice, Value, notice

if TYPE_CHECKING:
    from jcs_ct.diagnosis.evidence import StudyEvidence

MARKED_SHARE = 0.004
"""A slice shows opacities if more than this share of its lungs' convex hull is marked. Chosen on validation slices."""


def shows_opacities(patches: NDArray[Any], regions: NDArray[np.bool_], above: float) -> NDArray[np.bool_]:
    """(M,): whether each slice shows opacities.

    Args:
        patches: (M, h, w), lesion probability as `segment` gives it, or as stored in `LesionMaps`.
        regions: (M, h, w), the convex hulls of the lungs.
        above: a pixel above this value is lesion.
    """
    marked = (patches > above).sum((1, 2), dtype=np.int64)
    return np.asarray(marked > MARKED_SHARE * regions.sum((1, 2), dtype=np.int64), np.bool_)


def cross_check(
    decision: Decision, evidence: StudyEvidence, marked: NDArray[np.bool_], cut: float
) -> CrossCheck | None:
    """Compare the verdict with what each task alone says of the assessed slices; None without a verdict.

    Opacities on slices that are not infected do not support a positive verdict, but they contradict a negative one.

    Args:
        decision: whose verdict to compare with.
        evidence: that it rests on.
        marked: (M,) slices that show opacities.
        cut: a slice with a higher probability is infected.
    """
    rule = decision.rule
    if decision.verdict not in (Verdict.POSITIVE, Verdict.NEGATIVE) or rule is None:
        return None
    positive = decision.verdict is Verdict.POSITIVE
    counted = marked & (evidence.probabilities > cut) if positive else marked
    called = int((evidence.scores.probabilities > cut).sum()) if evidence.joint else None
    return CrossCheck(len(marked), int(counted.sum()), rule.threshold, positive, called)


def disagreement(check: CrossCheck | None) -> tuple[Notice, ...]:
    """Which of the two tasks contradicts the verdict."""
    if check is None:
        return ()
    found = []
    values: dict[str, Value] = {"slices": check.slices, "threshold": check.threshold}
    if not check.segmenter_agrees:
        code = "positive-without-opacities" if check.positive else "negative-with-opacities"
        found.append(notice(code, marked=check.marked, **values))
    if not check.classifier_agrees:
        code = "positive-against-classifier" if check.positive else "negative-against-classifier"
        found.append(notice(code, infected=check.infected_by_classifier, **values))
    return tuple(found)
