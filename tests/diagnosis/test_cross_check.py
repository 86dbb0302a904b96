"""Whether a segmenter that disagrees with the classifier is heard, on phantoms whose truth is known."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jcs_ct.diagnosis.cross_check import cross_check, disagreement, shows_opacities, slices_to_look_at
from jcs_ct.diagnosis.decide import PatientRule, decide
from jcs_ct.diagnosis.decision import CrossCheck, RuleOutcome, Verdict
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.jobs.summary import summary_of
from jcs_ct.reports.csv_report import write_csvs
from jcs_ct.reports.html_report import cross_check_note, heading_of
from jcs_ct.reports.json_report import result_document, write_json
from jcs_ct.reports.pictures import telling_slices
from jcs_ct.reports.stored_result import read_decision
from jcs_ct.reports.summary import one_line_summary
from jcs_ct.weights import file_sha256, write_manifest
from tests.diagnosis.test_measure import phantom_study
from tests.diagnosis.test_pipeline import HEALTHY, SICK
from tests.diagnosis_variants import altered
from tests.noticed import values_of
from tests.opacity_networks import write_weights

NEVER = 0.9
"""Share of a crop that must be marked for the classifier to call it infected."""


def diagnosed(folder: Path, suspicious_share: float, sick: bool) -> Diagnosis:
    weights = write_weights(folder, suspicious_share=suspicious_share)
    return Diagnoser(weights, threads=1).run(phantom_study(SICK if sick else HEALTHY))


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """Opacities that the classifier does not see."""
    return diagnosed(tmp_path_factory.mktemp("missed"), NEVER, sick=True)


def rule(extents_mm: float | None, slices: int) -> RuleOutcome:
    extents = None if extents_mm is None else np.full(slices, extents_mm)
    outcome = decide(np.zeros(slices, np.float32), extents, slices, PatientRule()).rule
    assert outcome is not None
    return outcome


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
    assert heading_of(missed).meaning.endswith("The segmenter disagrees: see the warnings.")
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
    manifest = json.loads((weights / "manifest.json").read_text(encoding="utf-8"))
    shutil.copy(other / "classifier.onnx", weights)  # takes healthy lung for disease
    manifest["networks"]["classifier"]["onnx_sha256"] = file_sha256(weights / "classifier.onnx")
    write_manifest(weights, manifest)
    alarmed = Diagnoser(weights, threads=1).run(phantom_study(HEALTHY))
    assert alarmed.verdict is Verdict.POSITIVE
    assert values_of(alarmed.warnings, "positive-without-opacities")["marked"] == 0
    assert alarmed.measures.lesion_count == 0


def test_an_infected_chest_that_is_called_infected_is_agreed_to(tmp_path: Path) -> None:
    sick = diagnosed(tmp_path, 0.004, sick=True)
    assert sick.cross_check is not None
    assert sick.cross_check.agrees
    assert sick.cross_check.slices == sum(finding.lesion_area_mm2 is not None for finding in sick.slices)


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


def test_thin_slices_are_looked_at_a_few_millimetres_apart() -> None:
    assert slices_to_look_at(None, 4).tolist() == [0, 1, 2, 3]
    assert slices_to_look_at(np.full(4, 8.0), 4).tolist() == [0, 1, 2, 3]
    assert slices_to_look_at(np.full(4, 2.0), 4).tolist() == [0, 1, 2, 3]
    assert slices_to_look_at(np.full(7, 1.5), 7).tolist() == [1, 3, 5]
    assert slices_to_look_at(np.full(10, 1.0), 10).tolist() == [1, 4, 7]
    assert slices_to_look_at(np.full(1, 0.5), 1).tolist() == []


def test_as_many_marked_slices_as_the_rule_asks_for_speak_against_a_negative_verdict() -> None:
    thin = rule(1.0, 300)  # 25 slices, a third of which are looked at
    look = cross_check(Verdict.NEGATIVE, thin, 100, 9)
    assert look is not None
    assert (look.slices, look.marked, look.positive) == (100, 9, False)
    assert look.threshold == pytest.approx(25 / 3)
    assert disagreement(look)
    assert disagreement(cross_check(Verdict.NEGATIVE, thin, 100, 8)) == ()
    positive = cross_check(Verdict.POSITIVE, thin, 100, 24)
    assert positive == CrossCheck(100, 24, 25.0, True)  # all suspect slices were segmented
    assert disagreement(positive)
    assert disagreement(cross_check(Verdict.POSITIVE, thin, 100, 25)) == ()


def test_without_a_verdict_or_slices_there_is_nothing_to_agree_with() -> None:
    assert cross_check(Verdict.NOT_ASSESSABLE, rule(1.0, 300), 100, 9) is None
    assert cross_check(Verdict.NEGATIVE, rule(1.0, 300), 0, 0) is None
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
