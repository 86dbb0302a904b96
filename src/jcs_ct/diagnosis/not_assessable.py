"""How a stage stops a diagnosis."""

from __future__ import annotations

from jcs_ct.diagnosis.decision import Decision, Provenance, TypicalityCheck, Verdict
from jcs_ct.notices import Notice


class NotAssessable(Exception):  # noqa: N818  # a verdict, not an error
    """Raised by a stage when the study must not be assessed. Never leaves the package: caught where results are made.

    Args:
        notices: why; each of severity `REFUSAL`.
        typicality: kept in the result if the classifier has already run.
    """

    def __init__(self, notices: tuple[Notice, ...], typicality: TypicalityCheck | None = None) -> None:
        super().__init__(*(each.code for each in notices))
        self.notices = notices
        self.typicality = typicality

    def decision(self, digest: str, provenance: Provenance | None = None) -> Decision:
        """The decision on the study; `provenance` as in `Decision`."""
        return Decision(
            Verdict.NOT_ASSESSABLE, self.notices, typicality=self.typicality, digest=digest, provenance=provenance
        )
