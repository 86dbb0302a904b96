"""What limits a decision, whoever measures the opacities."""

from __future__ import annotations

from jcs_ct.diagnosis.cross_check import disagreement
from jcs_ct.diagnosis.decision import Decision
from jcs_ct.diagnosis.explanation import looks_elsewhere
from jcs_ct.diagnosis.stability import borderline
from jcs_ct.diagnosis.typicality import unusual_slices
from jcs_ct.notices import Notice


def doubts_about(decision: Decision) -> tuple[Notice, ...]:
    """What limits how far a decision can be relied on."""
    return (
        *borderline(decision.stability),
        *unusual_slices(decision.typicality),
        *disagreement(decision.cross_check),
        *looks_elsewhere(decision.explanation),
    )
