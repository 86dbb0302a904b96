"""Whether a segmenter that disagrees with the classifier is heard, on phantoms whose truth is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.diagnosis.classify import Scores
from jcs_ct.diagnosis.cross_check import cross_check, disagreement, shows_opacities
from jcs_ct.diagnosis.decide import PatientRule, decide
from jcs_ct.diagnosis.decision import CrossCheck, Verdict
from jcs_ct.diagnosis.evidence import StudyEvidence
from jcs_ct.diagnosis.lesion_maps import LesionMaps
from jcs_ct.diagnosis.outside_lungs import LeftOut
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.jobs.summary import summary_of
from jcs_ct.notices import CATALOG, text
from jcs_ct.reports.csv_report import write_csvs
from jcs_ct.reports.headings import heading_of
from jcs_ct.reports.html_report import cross_check_note
from jcs_ct.reports.json_report import result_document, write_json
from jcs_ct.reports.pictures import telling_slices
from jcs_ct.reports.stored_result import read_decision
from jcs_ct.reports.summary import one_line_summary
from tests.diagnosis.test_measure import phantom_study
from tests.diagnosis.test_pipeline import HEALTHY, SICK
from tests.diagnosis_variants import altered
from tests.noticed import codes, values_of
from tests.opacity_networks import exchange_classifier, write_weights

SLICES = 300
NEVER = 0.9
"""Share of a crop that must be marked for the classifier to call it infected."""


def diagnosed(folder: Path, suspicious_share: float, sick: bool) -> Diagnosis:
    weights = write_weights(folder, suspicious_share=suspicious_share)
    return Diagnoser(weights, threads=1).run(phantom_study(SICK if sick else HEALTHY))


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """Opacities that the classifier does not see."""
    return diagnosed(tmp_path_factory.mktemp("missed"), NEVER, sick=True)


def test_opacities_that_the_classifier_misses_are_told_and_outlined(missed: Diagnosis) -> None:
    assert missed.verdict is Verdict.NEGATIVE  # the paper's rule decides
    assert missed.cross_check is not None
    assert not missed.cross_check.agrees
    shown = np.flatnonzero(SICK.lesion_mask.any((1, 2)))
    assert 0.6 * len(shown) <= missed.cross_check.marked <= len(shown)
    assert values_of(missed.warnings, "negative-with-opacities")["marked"] == missed.cross_check.marked
    assert missed.measures.lesion_volume_ml == pytest.approx(SICK.lesion_ml, rel=0.15)
    assert all(finding.lesion_area_mm2 is not None for finding in missed.slices if finding.assessed)
    assert cross_check_note(missed) == ""
    assert heading_of(missed).meaning.endswith("The networks disagree: see the warnings.")
    assert set(telling_slices(missed)) <= set(shown.tolist())
    assert len(telling_slices(missed)) == 6


def test_a_healthy_chest_that_is_called_healthy_is_agreed_to(tmp_path: Path) -> None:
    healthy = diagnosed(tmp_path, NEVER, sick=False)
    assert healthy.cross_check is not None
    assert (healthy.cross_check.marked, healthy.cross_check.agrees) == (0, True)
    assert summary_of(healthy)["doubts"] == []
    assert "The segmenter agrees: it finds opacities on 0 of the" in cross_check_note(healthy)


def test_a_verdict_that_no_outline_bears_out_is_warned_of(tmp_path: Path) -> None:
    weights, other = write_weights(tmp_path / "weights"), write_weights(tmp_path / "other", band=(0.0, 0.3))
    exchange_classifier(weights, other)  # takes healthy lung for disease
    alarmed = Diagnoser(weights, threads=1).run(phantom_study(HEALTHY))
    assert alarmed.verdict is Verdict.POSITIVE
    assert values_of(alarmed.warnings, "positive-without-opacities")["marked"] == 0
    assert alarmed.measures.lesion_count == 0


def test_an_infected_chest_that_is_called_infected_is_agreed_to(tmp_path: Path) -> None:
    sick = diagnosed(tmp_path, 0.004, sick=True)
    assert sick.cross_check is not None
    assert sick.cross_check.agrees
    assert sick.cross_check.slices == sum(finding.assessed for finding in sick.slices)


def test_it_is_kept_with_the_result_and_carried_over(missed: Diagnosis, tmp_path: Path) -> None:
    document = result_document(missed)
    assert document["cross_check"]["agrees"] is False
    write_json(missed, tmp_path)
    stored = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert stored["cross_check"] == document["cross_check"]
    assert read_decision(tmp_path).cross_check == missed.cross_check


def test_it_shows_where_results_are_skimmed(missed: Diagnosis, tmp_path: Path) -> None:
    assert summary_of(missed)["doubts"] == ["negative-with-opacities"]
    assert "the networks disagree, see the warnings" in one_line_summary(missed, tmp_path)
    agreeing = altered(missed, cross_check=CrossCheck(30, 0, 5.0, False), notices=())
    assert summary_of(agreeing)["doubts"] == []
    assert "disagree" not in one_line_summary(agreeing, tmp_path)
    write_csvs(missed, tmp_path)
    with (tmp_path / "measures.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["name"]: row["value"] for row in csv.DictReader(stream)}
    assert missed.cross_check is not None
    assert (rows["marked_slices"], rows["networks_agree"]) == (str(missed.cross_check.marked), "False")


def evidence_of(
    infected: Iterable[int], by_classifier: Iterable[int] | None = None, slices: int = SLICES
) -> StudyEvidence:
    """Evidence that calls some slices infected; the classifier calls others, where both decide."""

    def probabilities(called: Iterable[int]) -> NDArray[np.float32]:
        return np.isin(np.arange(slices), list(called)).astype(np.float32)

    own = infected if by_classifier is None else by_classifier
    scores = Scores(probabilities(own), np.zeros((slices, 1, 1), np.float32))
    maps = LesionMaps(np.zeros((slices, 1, 1), np.uint8), np.zeros(slices), LeftOut(0.0, None))
    return StudyEvidence(probabilities(infected), scores, maps, joint=by_classifier is not None)


def checked(evidence: StudyEvidence, marked: Iterable[int]) -> CrossCheck:
    """The check of the verdict that slices of 1 mm come to, of which 25 make a patient positive."""
    decision = decide(evidence.probabilities, np.ones(SLICES), SLICES, PatientRule())
    check = cross_check(decision, evidence, np.isin(np.arange(SLICES), list(marked)), 0.5)
    assert check is not None
    return check


def test_as_many_marked_slices_as_the_rule_asks_for_speak_against_a_negative_verdict() -> None:
    assert checked(evidence_of(()), range(25)) == CrossCheck(SLICES, 25, 25.0, False)
    assert codes(disagreement(checked(evidence_of(()), range(25)))) == ["negative-with-opacities"]
    assert disagreement(checked(evidence_of(()), range(24))) == ()


def test_opacities_support_a_positive_verdict_on_infected_slices_only() -> None:
    infected = evidence_of(range(40))
    assert disagreement(checked(infected, range(15, 40))) == ()
    elsewhere = checked(infected, range(16, 100))  # 84 marked slices, but only 24 of them infected
    assert elsewhere == CrossCheck(SLICES, 24, 25.0, True)
    assert codes(disagreement(elsewhere)) == ["positive-without-opacities"]


@pytest.mark.parametrize(
    ("infected", "by_classifier", "marked", "said"),
    [
        (30, 30, 30, []),
        (30, 24, 30, ["positive-against-classifier"]),
        (30, 25, 24, ["positive-without-opacities"]),
        (30, 0, 0, ["positive-without-opacities", "positive-against-classifier"]),
        (10, 25, 10, ["negative-against-classifier"]),
        (10, 24, 24, []),
        (10, 0, 25, ["negative-with-opacities"]),
    ],
)
def test_where_both_tasks_decide_each_alone_is_asked(
    infected: int, by_classifier: int, marked: int, said: list[str]
) -> None:
    check = checked(evidence_of(range(infected), range(by_classifier)), range(marked))
    assert codes(disagreement(check)) == said
    assert check.agrees == (not said)
    for told in disagreement(check):
        assert CATALOG[told.code].short == "networks disagree"
        assert text(told)


def test_without_a_verdict_there_is_nothing_to_agree_with() -> None:
    few = decide(np.zeros(3, np.float32), None, 3, PatientRule())
    assert cross_check(few, evidence_of((), slices=3), np.zeros(3, bool), 0.5) is None
    assert disagreement(None) == ()


def test_a_slice_shows_opacities_if_enough_of_its_lungs_hull_is_marked() -> None:
    region = np.zeros((1, 50, 50), bool)
    region[:, :20] = True  # 1,000 pixels, of which four are not enough
    patch = np.zeros((1, 50, 50), np.float32)
    patch[0, 0, :4] = 0.6
    assert shows_opacities(patch, region, 0.5).tolist() == [False]
    patch[0, 1, 0] = 0.6
    assert shows_opacities(patch, region, 0.5).tolist() == [True]
    assert shows_opacities(patch, region, 0.7).tolist() == [False]
