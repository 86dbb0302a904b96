"""Whether the two networks agree on a study (not in the paper).

The classifier decides, and the segmenter outlines what the classifier found. If the classifier misses a study, nothing
would be outlined and nobody would know. Therefore the segmenter also looks at studies called negative, and its findings
are compared with the verdict either way. Slices on which the two disagree are wrong far more often than others
(docs/architecture.md, "A cross-check"). The classifier's verdict stands; the reader is warned and sees the outlines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.decision import CrossCheck, RuleOutcome, Verdict
from jcs_ct.notices import Notice, notice

MARKED_SHARE = 0.004
"""A slice shows opacities if more than this share of its lungs' convex hull is marked. Chosen on validation slices."""
EVERY_MM = 3.0
"""In a negative study, slices this far apart are enough: what makes a patient positive is several times as long."""


def slices_to_look_at(extents_mm: NDArray[np.float64] | None, count: int) -> NDArray[np.int64]:
    """Which assessed slices of a negative study the segmenter looks at: all, or every n-th if they are thin.

    Args:
        extents_mm: (M,) length along the patient that each slice stands for; None if the input does not state it.
        count: M.
    """
    step = 1 if extents_mm is None else max(1, int(EVERY_MM // float(np.median(extents_mm))))
    return np.arange(step // 2, count, step)


def shows_opacities(patches: NDArray[np.float32], regions: NDArray[np.bool_], above: float) -> NDArray[np.bool_]:
    """(M,): whether each slice shows opacities.

    Args:
        patches: (M, h, w), lesion probability as `segment` gives it.
        regions: (M, h, w), the convex hulls of the lungs.
        above: a pixel above this probability is lesion.
    """
    marked = (patches > above).sum((1, 2), dtype=np.int64)
    return np.asarray(marked > MARKED_SHARE * regions.sum((1, 2), dtype=np.int64), np.bool_)


def cross_check(verdict: Verdict, rule: RuleOutcome, looked_at: int, marked: int) -> CrossCheck | None:
    """Compare the segmenter's findings with the verdict; None without a verdict.

    Args:
        verdict: by the classifier.
        rule: as it was applied.
        looked_at: number of slices that the segmenter looked at: in a negative study, evenly over all assessed ones.
        marked: number of these that show opacities.
    """
    if verdict not in (Verdict.POSITIVE, Verdict.NEGATIVE) or not looked_at:
        return None
    share = 1.0 if verdict is Verdict.POSITIVE else looked_at / rule.assessed_slices
    return CrossCheck(looked_at, marked, rule.threshold * share, verdict is Verdict.POSITIVE)


def disagreement(check: CrossCheck | None) -> tuple[Notice, ...]:
    """Whether the segmenter contradicts the verdict."""
    if check is None or check.agrees:
        return ()
    code = "positive-without-opacities" if check.positive else "negative-with-opacities"
    return (notice(code, marked=check.marked, slices=check.slices, threshold=check.threshold),)
