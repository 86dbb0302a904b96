"""The patient rule: the paper's threshold on scans of any slice distance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.decide import PAPER_THRESHOLDS, PatientRule, decide
from jcs_ct.diagnosis.decision import Decision, RuleOutcome, Verdict
from jcs_ct.notices import Severity, text
from tests.noticed import values_of

RULE = PatientRule()


def decided(infected: int, of: int, distance: float | None = 1.0, rule: PatientRule = RULE) -> Decision:
    """A study of `of` slices, all of them lung, so many clearly infected."""
    probabilities = np.full(of, 0.1, np.float32)
    probabilities[:infected] = 0.9
    return decide(probabilities, None if distance is None else np.full(of, distance), of, rule)


def outcome_of(decision: Decision) -> RuleOutcome:
    assert decision.rule is not None
    return decision.rule


@pytest.mark.parametrize(
    ("distance", "count", "threshold"),
    [(1.0, 300, 25), (8.0, 40, 3.125), (5.0, 60, 5), (1.25, 248, 20), (None, 325, 25), (None, 65, 5), (20.0, 15, 2)],
)
def test_the_threshold_is_the_same_extent_or_the_same_share(
    distance: float | None, count: int, threshold: float
) -> None:
    outcome = outcome_of(decided(0, count, distance))
    assert outcome.threshold == pytest.approx(threshold)
    assert outcome.unit == ("slices by fraction" if distance is None else "slices by mm")


@pytest.mark.parametrize(("distance", "count", "needed"), [(1.0, 300, 25), (8.0, 40, 4), (None, 325, 25)])
def test_the_verdict_turns_at_the_threshold(distance: float | None, count: int, needed: int) -> None:
    assert decided(needed, count, distance).verdict is Verdict.POSITIVE
    assert decided(needed - 1, count, distance).verdict is Verdict.NEGATIVE


@pytest.mark.parametrize("distance", [0.99999999, 1.00000001])
def test_rounding_of_positions_does_not_move_the_threshold(distance: float) -> None:
    decision = decided(25, 300, distance)
    assert outcome_of(decision).threshold == 25
    assert decision.verdict is Verdict.POSITIVE


def test_the_middle_distance_counts_and_the_extent_is_summed() -> None:
    extents = np.array([2.0] * 30 + [10.0] * 5)
    probabilities = np.where(np.arange(35) >= 25, 0.8, 0.2).astype(np.float32)
    outcome = outcome_of(decide(probabilities, extents, 35, RULE))
    assert outcome.threshold == 12.5
    assert outcome.infected_slices == 10
    assert outcome.infected_extent_mm == pytest.approx(5 * 2 + 5 * 10)
    assert "2 mm" in text(outcome.explanation)


def test_a_share_is_of_all_slices_and_not_of_those_with_lung() -> None:
    outcome = outcome_of(decide(np.full(20, 0.9, np.float32), None, 130, RULE))
    assert (outcome.threshold, outcome.assessed_slices) == (10, 20)
    assert outcome.infected_extent_mm is None


@pytest.mark.parametrize("count", [1, 4])
def test_few_slices_say_nothing_about_a_patient(count: int) -> None:
    decision = decided(count, count, 8.0)
    assert decision.verdict is Verdict.NOT_ASSESSABLE
    assert decision.probability is None
    assert values_of(decision.reasons, "few-lung-slices")["assessed"] == count
    assert decision.reasons[0].severity is Severity.REFUSAL
    assert outcome_of(decision).infected_slices == count


def test_one_infected_slice_never_makes_a_patient_positive() -> None:
    assert decided(1, 8, 40.0).verdict is Verdict.NEGATIVE
    assert decided(2, 8, 40.0).verdict is Verdict.POSITIVE


def test_exactly_one_half_is_not_infected() -> None:
    assert outcome_of(decide(np.full(40, 0.5, np.float32), np.ones(40), 40, RULE)).infected_slices == 0


def random_cases() -> list[tuple[NDArray[np.float32], float | None, PatientRule]]:
    random = np.random.default_rng(0)
    cases = []
    for _ in range(400):
        count = int(random.integers(5, 60))
        probabilities = (random.random(count) ** random.uniform(0.3, 3)).astype(np.float32)
        distance = None if random.random() < 0.3 else float(random.uniform(0.5, 12))
        rule = PatientRule(slice_probability=float(random.choice([0.3, 0.5, 0.7])))
        cases.append((probabilities, distance, rule))
    return cases


def test_the_probability_is_above_the_slices_exactly_where_the_verdict_is_positive() -> None:
    verdicts = []
    for probabilities, distance, rule in random_cases():
        extents = None if distance is None else np.full(len(probabilities), distance)
        decision = decide(probabilities, extents, len(probabilities), rule)
        assert decision.probability is not None
        positive = decision.verdict is Verdict.POSITIVE
        assert (np.float32(decision.probability) > rule.slice_probability) == positive
        verdicts.append(positive)
    assert 0.2 < np.mean(verdicts) < 0.8


def test_a_threshold_above_the_number_of_slices_is_never_positive() -> None:
    decision = decided(20, 20, 1.0)
    assert decision.verdict is Verdict.NEGATIVE
    assert decision.probability == 0.5


def test_the_curve_rises_and_never_turns_back() -> None:
    for probabilities, distance, rule in random_cases()[:100]:
        extents = None if distance is None else np.full(len(probabilities), distance)
        decision = decide(probabilities, extents, len(probabilities), rule)
        curve = outcome_of(decision).curve
        assert [step.paper_threshold for step in curve] == sorted({step.paper_threshold for step in curve})
        assert {*PAPER_THRESHOLDS, 5, 100} <= {step.paper_threshold for step in curve}
        assert np.all(np.diff([step.threshold for step in curve]) >= 0)
        positive = [step.positive for step in curve]
        assert positive == sorted(positive, reverse=True)
        own = next(step for step in curve if step.paper_threshold == rule.paper_threshold)
        assert own.positive == (decision.verdict is Verdict.POSITIVE)
        assert own.threshold == outcome_of(decision).threshold


def test_the_reason_names_both_numbers() -> None:
    assert "30 of 300 assessed slices show signs of infection, at least the threshold of 25" in text(
        decided(30, 300).reasons[0]
    )
    assert "fewer than the threshold of 3.12" in text(decided(1, 40, 8.0).reasons[0])


@pytest.mark.parametrize(
    "wrong", [{"slice_probability": 0.0}, {"slice_probability": 1.0}, {"paper_threshold": 0}, {"minimum_infected": 0}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PatientRule(**wrong)  # type: ignore[arg-type]
