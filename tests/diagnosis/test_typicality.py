"""Which studies are refused, warned of, or let through by how far their slices lie from usual ones."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.diagnosis.classify import Scores
from jcs_ct.diagnosis.decision import TypicalityCheck
from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.diagnosis.typicality import (
    Usual,
    check_typicality,
    refuse_unusual,
    unusual_slices,
    with_atypicality,
)
from jcs_ct.evaluation.typicality import Levels, Typicality
from jcs_ct.notices import Severity, text

USUAL = Usual(Typicality(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)), Levels(1.2, 1.7))


def checked(*atypicality: float) -> TypicalityCheck:
    """Of slices that lie so far out: both features of each are the square of that."""
    far = np.array(atypicality, np.float32)
    scores = Scores(np.zeros(len(far), np.float32), np.zeros((len(far), 1, 1), np.float32), np.stack([far**2] * 2, 1))
    check = check_typicality(with_atypicality(scores, USUAL), USUAL)
    assert check is not None
    return check


def test_usual_slices_say_nothing() -> None:
    check = checked(0.9, 1.0, 1.1)
    assert (check.slices, check.slices_unusual, check.slices_beyond) == (3, 0, 0)
    assert abs(check.median - 1) < 1e-6
    assert unusual_slices(check) == ()
    refuse_unusual(check)


def test_half_of_the_slices_beyond_are_not_yet_refused() -> None:
    check = checked(0.9, 1.0, 2.0, 2.1)
    assert (check.slices_unusual, check.slices_beyond) == (2, 2)
    assert unusual_slices(check) == ()
    refuse_unusual(check)


def test_more_than_half_beyond_are_refused_with_the_reason() -> None:
    check = checked(0.9, 2.0, 2.1)
    with pytest.raises(NotAssessable) as stop:
        refuse_unusual(check)
    (reason,) = stop.value.notices
    assert reason.severity is Severity.REFUSAL
    assert "2 of 3 have an atypicality above 1.7" in text(reason)
    assert "median 2, usual is about 1" in text(reason)
    assert stop.value.typicality is check
    assert stop.value.decision("ab").typicality is check, "the result says how far off the slices are"
    assert unusual_slices(check) == (), "said once"


def test_more_than_half_unusual_are_warned_of() -> None:
    check = checked(0.9, 1.3, 1.4)
    refuse_unusual(check)
    (warning,) = unusual_slices(check)
    assert warning.severity is Severity.WARNING
    assert "2 of 3 have an atypicality above 1.2" in text(warning)


def test_networks_that_tell_no_features_are_neither_refused_nor_warned_of() -> None:
    scores = Scores(np.zeros(3, np.float32), np.zeros((3, 1, 1), np.float32))
    assert with_atypicality(scores, USUAL).atypicality is None
    check = check_typicality(scores, USUAL)
    assert check is None
    assert unusual_slices(check) == ()
    refuse_unusual(check)
