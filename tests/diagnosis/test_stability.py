"""Which verdicts are borderline, and where a reader is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jcs_ct.diagnosis.decide import PatientRule, decide
from jcs_ct.diagnosis.decision import Decision, Stability, Verdict
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.stability import CUT_MARGIN, borderline
from jcs_ct.jobs.summary import summary_of
from jcs_ct.notices import CATALOG, Severity, text
from jcs_ct.reports.headings import heading_of
from jcs_ct.reports.html_report import render_html
from jcs_ct.reports.json_report import result_document, write_json
from jcs_ct.reports.stored_result import read_decision
from jcs_ct.reports.summary import one_line_summary
from tests.diagnosis.test_measure import phantom_study
from tests.diagnosis.test_pipeline import SICK
from tests.noticed import codes, values_of
from tests.opacity_networks import write_weights


def decided(sure: int, near: int = 0, probability: float = 0.5, cut: float = 0.5) -> Decision:
    """300 slices of 1 mm, of which 25 make a patient positive; `near` of them lie close to the cut."""
    probabilities = np.full(300, 0.01, np.float32)
    probabilities[:sure] = 0.99
    probabilities[sure : sure + near] = probability
    return decide(probabilities, np.ones(300), 300, PatientRule(slice_probability=cut))


def is_borderline(decision: Decision) -> bool:
    assert decision.stability is not None
    return decision.stability.borderline


@pytest.mark.parametrize(("sure", "expected"), [(23, False), (24, True), (25, True), (26, False), (0, False)])
def test_a_verdict_that_hangs_on_one_slice_is_borderline(sure: int, expected: bool) -> None:
    assert is_borderline(decided(sure)) == expected


@pytest.mark.parametrize(("probability", "expected"), [(0.35, False), (0.4, True), (0.6, True), (0.65, False)])
def test_a_verdict_that_hangs_on_slices_near_the_cut_is_borderline(probability: float, expected: bool) -> None:
    assert is_borderline(decided(10, 40, probability)) == expected


@pytest.mark.parametrize("cut", [0.02, 0.3, 0.9, 0.999])
def test_near_means_the_same_at_every_cut(cut: float) -> None:
    logit = np.log(cut / (1 - cut))
    for offset, expected in ((-1.2, False), (-0.8, True), (0.8, True), (1.2, False)):
        probability = float(1 / (1 + np.exp(-logit - offset * CUT_MARGIN)))
        probabilities = np.full(300, probability, np.float32)
        found = decide(probabilities, np.ones(300), 300, PatientRule(slice_probability=cut))
        assert is_borderline(found) == expected


def test_any_change_within_the_margin_leaves_what_is_not_borderline_as_it_is() -> None:
    """Rounding, of whatever kind, is a change of the logits; here it is as large as the margin allows."""
    random, seen = np.random.default_rng(0), set()
    for _ in range(300):
        logits = random.normal(random.uniform(-2, 1), 1.5, 40)
        first, second = (
            decide((1 / (1 + np.exp(-each))).astype(np.float32), np.full(40, 2.0), 40, PatientRule())
            for each in (logits, logits + random.uniform(-0.99, 0.99, 40) * CUT_MARGIN)
        )
        if not is_borderline(first):
            assert first.verdict is second.verdict
        seen.add((first.verdict, is_borderline(first)))
    assert len(seen) == 4


def test_a_threshold_beyond_the_assessed_slices_is_never_borderline() -> None:
    found = decide(np.full(20, 0.99, np.float32), np.ones(20), 20, PatientRule())
    assert found.verdict is Verdict.NEGATIVE
    assert not is_borderline(found)


def test_without_a_verdict_nothing_is_borderline() -> None:
    assert decide(np.full(3, 0.9, np.float32), None, 3, PatientRule()).stability is None
    assert borderline(None) == ()
    assert borderline(Stability(20, 24, 25.0)) == ()


def test_the_warning_gives_both_counts() -> None:
    (said,) = borderline(decided(20, 10).stability)
    assert (said.severity, CATALOG[said.code].short) == (Severity.WARNING, "borderline")
    assert "19 to 31 slices" in text(said)


def test_a_reader_is_told_wherever_the_verdict_stands(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    plain = Diagnoser(weights, threads=1).run(phantom_study(SICK))
    assert not plain.borderline
    assert plain.rule is not None
    edge = replace(plain.rule, threshold=float(plain.rule.infected_slices))
    steady = Stability(plain.rule.infected_slices - 1, plain.rule.infected_slices + 1, edge.threshold)
    found = replace(
        plain,
        decision=replace(plain.decision, rule=edge, stability=steady),
        notices=(*plain.notices, *borderline(steady)),
    )
    assert found.borderline
    assert "borderline" in codes(found.warnings)
    assert values_of(found.warnings, "borderline")["threshold"] == edge.threshold
    assert heading_of(found).title == "Positive, borderline"
    page = render_html(found)
    assert "<h1>Positive, borderline</h1>" in page
    assert "the verdict is borderline" in page
    assert "| borderline, see the warnings |" in one_line_summary(found, tmp_path)
    assert summary_of(found)["doubts"] == ["borderline"]
    assert result_document(found)["stability"]["borderline"] is True
    write_json(found, tmp_path)
    assert read_decision(tmp_path).stability == steady
    assert heading_of(plain).title == "Positive"
    assert "borderline" not in one_line_summary(plain, tmp_path)
