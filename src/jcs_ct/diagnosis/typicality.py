"""Whether a study resembles the classifier's training data. The classifier must not judge what it has never seen.

A slice's atypicality is the distance of its features from those of training slices (`evaluation.typicality`). The
median slice decides, so a few odd slices (metal, motion, lung bases) do not refuse a study.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jcs_ct.diagnosis.decision import TypicalityCheck
from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.evaluation.typicality import Levels, Typicality
from jcs_ct.notices import Notice, notice
from jcs_ct.weights import NetworkFile

if TYPE_CHECKING:
    from jcs_ct.diagnosis.classify import Scores  # at run time it would load the engine, which measuring goes without

MOST = 0.5
"""A study is refused, or a warning given, if more than this share of its assessed slices exceeds the level."""


@dataclass(frozen=True)
class Usual:
    """Typical slices of one classifier, and the levels above which a slice is unusual."""

    typicality: Typicality
    levels: Levels

    @classmethod
    def of(cls, file: NetworkFile) -> Usual | None:
        """What was fitted for a classifier; None if nothing was."""
        stored = file.typicality
        return None if stored is None else cls(Typicality.load(stored.path), Levels(stored.unusual, stored.limit))


def with_atypicality(scores: Scores, usual: Usual | None) -> Scores:
    """Scores with the atypicality of each slice, if it can be computed."""
    if usual is None or scores.features is None:
        return scores
    return replace(scores, atypicality=usual.typicality.atypicality(scores.features))


def check_typicality(scores: Scores, usual: Usual | None) -> TypicalityCheck | None:
    """Summary over the assessed slices of a study; None if their atypicality is unknown."""
    if usual is None or scores.atypicality is None:
        return None
    return TypicalityCheck(
        slices=len(scores.atypicality),
        median=float(np.median(scores.atypicality)),
        unusual=usual.levels.unusual,
        limit=usual.levels.limit,
        slices_unusual=int((scores.atypicality > usual.levels.unusual).sum()),
        slices_beyond=int((scores.atypicality > usual.levels.limit).sum()),
    )


def refuse_unusual(check: TypicalityCheck | None) -> None:
    """Stop if most slices lie beyond the limit.

    Raises:
        NotAssessable: they do.
    """
    if check is not None and _beyond(check):
        beyond = notice(
            "slices-beyond-training", median=check.median, beyond=check.slices_beyond, slices=check.slices,
            limit=check.limit,
        )  # fmt: skip
        raise NotAssessable((beyond,), check)


def unusual_slices(check: TypicalityCheck | None) -> tuple[Notice, ...]:
    """Whether most slices of an assessed study are unusual."""
    if check is None or check.slices_unusual <= MOST * check.slices or _beyond(check):
        return ()
    return (
        notice(
            "unusual-slices", median=check.median, unusual=check.slices_unusual, slices=check.slices,
            limit=check.unusual,
        ),
    )  # fmt: skip


def _beyond(check: TypicalityCheck) -> bool:
    return check.slices_beyond > MOST * check.slices
