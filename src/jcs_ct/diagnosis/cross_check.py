"""Whether the two networks agree on a study (not in the paper).

The classifier decides, and the segmenter outlines what the classifier found: where the classifier misses a study,
nothing would be outlined either, and nobody told. So the segmenter also looks at studies that are called negative, and
what it finds is held against the verdict either way. Slices on which the two disagree are wrong far more often than
others (docs/architecture.md, "A cross-check"). The verdict stays the classifier's; the reader is told, and sees the
outlines.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.result import CrossCheck, RuleOutcome, Verdict

MARKED_SHARE = 0.004
"""A slice shows opacities if more than this share of its lungs' convex hull is marked; chosen on validation slices."""
EVERY_MM = 3.0
"""Of a negative study, slices this far apart are enough: what makes a patient positive is several times as long."""


def slices_to_look_at(extents_mm: NDArray[np.float64] | None, count: int) -> NDArray[np.int64]:
    """Which of the assessed slices of a negative study are looked at: all, or every so many where they are thin.

    Args:
        extents_mm: (M,) length along the patient that each stands for; None where the input does not tell.
        count: M.
    """
    step = 1 if extents_mm is None else max(1, int(EVERY_MM // float(np.median(extents_mm))))
    return np.arange(step // 2, count, step)


def shows_opacities(patches: NDArray[np.float32], regions: NDArray[np.bool_], above: float) -> NDArray[np.bool_]:
    """(M,): whether enough of a slice is marked.

    Args:
        patches: (M, h, w), lesion probability as `segment` gives it.
        regions: (M, h, w), the convex hulls of the lungs.
        above: from which probability on a pixel is lesion.
    """
    marked = (patches > above).sum((1, 2), dtype=np.int64)
    return np.asarray(marked > MARKED_SHARE * regions.sum((1, 2), dtype=np.int64), np.bool_)


def cross_check(verdict: Verdict, rule: RuleOutcome, looked_at: int, marked: int) -> CrossCheck | None:
    """Hold what the segmenter found against the verdict; None where there is no verdict to hold it against.

    Args:
        verdict: by the classifier.
        rule: as it was applied.
        looked_at: slices, evenly over those that may show something: of a negative study over all assessed ones.
        marked: those of them that show opacities.
    """
    if verdict not in (Verdict.POSITIVE, Verdict.NEGATIVE) or not looked_at:
        return None
    share = 1.0 if verdict is Verdict.POSITIVE else looked_at / rule.assessed_slices
    return CrossCheck(looked_at, marked, rule.threshold * share, verdict is Verdict.POSITIVE)


def disagreement(look: CrossCheck | None) -> tuple[str, ...]:
    """What to tell the reader of a result whose outlines do not bear its verdict out."""
    if look is None or look.agrees:
        return ()
    found = (
        f"the segmenter finds opacities on {look.marked} of the {look.slices} slices that it looked at; from "
        f"{look.threshold:.3g} on they speak for infection"
    )
    if look.positive:
        return (
            f"the networks disagree: the verdict is positive, but {found}. It rests on slices on which little or "
            "nothing is outlined; a reader should look at them",
        )
    return (
        f"the networks disagree: the verdict is negative, but {found}. The classifier may miss COVID-19, or the "
        "opacities may be of another kind: they are outlined, and a reader should look at them",
    )
