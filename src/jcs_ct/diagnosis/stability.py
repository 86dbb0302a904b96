"""Whether a verdict would change under a perturbation too small to mean anything: a borderline verdict.

Rounding moves the probability of a slice: the same networks in 8 bits and in fp32, another processor, a scan that was
reconstructed again. A slice near the cut may then change sides. A verdict that depends on such slices, or on a single
one, is called borderline. It stands, but a reader must know.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from jcs_ct.diagnosis.decision import RuleOutcome, Stability
from jcs_ct.notices import Notice, notice

CUT_MARGIN = 0.5
"""How far the cut of the slice probability is moved either way, as a logit: 0.5 to 0.38 and 0.62. That is more than
twice what the classifier's logit differs between 8 bits and fp32. The joint one differs by more where few pixels are
marked; such slices are few, and the counts of a study stay within the range."""
ONE_SLICE = 1
"""Slices added or taken away on top of that."""


def stability(probabilities: NDArray[np.float32], rule: RuleOutcome, cut: float) -> Stability:
    """Count infected slices under small perturbations.

    Args:
        probabilities: (M,) of the assessed slices.
        rule: as it was applied.
        cut: a slice with a higher probability is infected.
    """
    low, high = (float(special.expit(special.logit(cut) + margin)) for margin in (-CUT_MARGIN, CUT_MARGIN))
    fewest, most = (int((probabilities > level).sum()) for level in (high, low))
    return Stability(max(fewest - ONE_SLICE, 0), min(most + ONE_SLICE, len(probabilities)), rule.threshold)


def borderline(found: Stability | None) -> tuple[Notice, ...]:
    """Whether the verdict is borderline."""
    if found is None or not found.borderline:
        return ()
    return (notice("borderline", fewest=found.fewest, most=found.most, threshold=found.threshold),)
