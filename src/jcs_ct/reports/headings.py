"""The verdict in words, as the reports for people print it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.result import Diagnosis


@dataclass(frozen=True)
class Heading:
    """The verdict in words."""

    title: str
    meaning: str


HEADINGS = {
    Verdict.POSITIVE: Heading(
        "Positive",
        "Opacities of the kind seen in COVID-19 were found on enough slices.",
    ),
    Verdict.NEGATIVE: Heading(
        "Negative",
        "Opacities of the kind seen in COVID-19 were not found, or on too few slices. This does not rule out an "
        "infection: early in its course a CT can be normal.",
    ),
    Verdict.NOT_ASSESSABLE: Heading(
        "Not assessable",
        "No diagnosis was made, neither positive nor negative. The reasons are below.",
    ),
    Verdict.NOT_ASSESSED: Heading(
        "Not assessed, measured only",
        "Opacities that a user outlined were measured. No decision was asked for: this is neither positive nor "
        "negative.",
    ),
}
_DISAGREE = "The networks disagree: see the warnings."
_BORDERLINE = "The verdict is borderline: see the warnings."
_CARRIED_OVER = (
    "Carried over from an earlier result: the outlines were edited since, and all measures are of the edited ones."
)


def heading_of(diagnosis: Diagnosis) -> Heading:
    """The verdict in words, and whether it is borderline, contradicted by one of the networks, or carried over."""
    heading = HEADINGS[diagnosis.verdict]
    if diagnosis.borderline:
        heading = replace(heading, title=f"{heading.title}, borderline")
    added = [_BORDERLINE] if diagnosis.borderline else []
    if diagnosis.networks_disagree:
        added.append(_DISAGREE)
    if diagnosis.carried_over:
        added.append(_CARRIED_OVER)
    return replace(heading, meaning=" ".join([heading.meaning, *added]))
