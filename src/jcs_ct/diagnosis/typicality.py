"""Whether a study is such as the classifier learned from: what it has never seen it must not judge.

A slice's atypicality is the distance of its features from those of training slices (`evaluation.typicality`). A study
is refused by the median slice, so that a few odd ones (metal, motion, the lowest of the lungs) decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from jcs_ct.diagnosis.result import TypicalityCheck
from jcs_ct.evaluation.typicality import Levels, Typicality
from jcs_ct.weights import NetworkFile

if TYPE_CHECKING:
    from jcs_ct.diagnosis.classify import Scores  # at run time it would load the engine, which measuring goes without

MOST = 0.5
"""A study is refused, or warned of, where more than this share of its assessed slices lies beyond the level."""


@dataclass(frozen=True)
class Usual:
    """What usual slices are, for one classifier."""

    typicality: Typicality
    levels: Levels

    @classmethod
    def of(cls, file: NetworkFile) -> Usual | None:
        """What was fitted for a classifier; None where nothing was."""
        stored = file.typicality
        return None if stored is None else cls(Typicality.load(stored.path), Levels(stored.unusual, stored.limit))


def with_atypicality(scores: Scores, usual: Usual | None) -> Scores:
    """Scores that tell how far each slice lies from usual ones, as far as that is known."""
    if usual is None or scores.features is None:
        return scores
    return replace(scores, atypicality=usual.typicality.atypicality(scores.features))


def check_typicality(scores: Scores, usual: Usual | None) -> TypicalityCheck | None:
    """The assessed slices of a study together; None where their atypicality is not known."""
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


def atypical_objections(check: TypicalityCheck | None) -> tuple[str, ...]:
    """Why a study must not be judged, if most of its slices lie beyond the limit."""
    if check is None or check.slices_beyond <= MOST * check.slices:
        return ()
    return (
        f"{_found(check)}, and {check.slices_beyond} of {check.slices} lie beyond {check.limit:.3g}, within which 99 % "
        "of validation slices do; expected axial CT of a whole chest, as pictures in a lung window. Check that the "
        "pictures are upright, not inverted, blurred or noisy, and not of another body part; or have a reader judge",
    )


def atypical_cautions(check: TypicalityCheck | None) -> tuple[str, ...]:
    """What to tell the reader of a result whose slices are unusual for the most part, but may be judged."""
    if check is None or check.slices_unusual <= MOST * check.slices or atypical_objections(check):
        return ()
    return (
        f"{_found(check)}, and {check.slices_unusual} of {check.slices} lie beyond {check.unusual:.3g}, within which "
        "95 % of validation slices do: how right the classifier is on such slices is not known",
    )


def _found(check: TypicalityCheck) -> str:
    return (
        "the slices are unlike those that the classifier learned from: their median atypicality is "
        f"{check.median:.3g}, about 1 is usual"
    )
