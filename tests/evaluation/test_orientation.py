"""Orientations: undone exactly, and told by the vote of all views."""

from __future__ import annotations

import numpy as np
import pytest

from jcs_ct.evaluation.orientation import COUNT, SEEN_AS, oriented, upright, vote


@pytest.mark.parametrize("orientation", range(COUNT))
def test_every_orientation_is_undone(orientation: int) -> None:
    images = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(upright(oriented(images, orientation), orientation), images)


def test_every_view_of_a_slice_is_another_orientation() -> None:
    assert (np.diag(SEEN_AS) == 0).all()
    assert all(sorted(row) == list(range(COUNT)) for row in SEEN_AS.tolist())


@pytest.mark.parametrize("true", range(COUNT))
def test_the_vote_outweighs_slices_that_are_told_wrongly(true: int) -> None:
    random = np.random.default_rng(true)
    logits = random.normal(size=(COUNT, 6, COUNT)).astype(np.float32)
    for view in range(COUNT):
        logits[view, :4, SEEN_AS[view, true]] += 3.0
    probability = vote(logits)
    assert int(probability.argmax()) == true
    assert probability.sum() == pytest.approx(1)
