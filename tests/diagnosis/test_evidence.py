"""What decides on a slice, on phantoms with networks that see different things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jcs_ct.diagnosis.classify import Scores
from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.diagnoser_settings import DecideBy, DiagnoserSettings
from jcs_ct.diagnosis.evidence import weigh
from jcs_ct.diagnosis.lesion_maps import LesionMaps, segment_slices
from jcs_ct.diagnosis.outside_lungs import LeftOut
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.slices import find_lung_slices
from jcs_ct.errors import UsageError
from jcs_ct.evaluation.evidence import SliceEvidence, marked_share
from jcs_ct.reports.json_report import result_document, write_json
from jcs_ct.reports.stored_result import read_decision
from tests.diagnosis.test_measure import phantom_study
from tests.diagnosis.test_pipeline import HEALTHY, SICK
from tests.noticed import codes
from tests.opacity_networks import exchange_classifier, write_weights

BOTH = {"margin": 0.1, "share": 1.5, "bias": -2.7}
"""The segmenter outweighs the classifier."""


def alarmed_weights(folder: Path, evidence: dict[str, float] | None) -> Path:
    """Weights whose classifier calls healthy lung infected, which the segmenter does not."""
    weights = write_weights(folder / "weights", evidence=evidence)
    exchange_classifier(weights, write_weights(folder / "other", band=(0.0, 0.3)))
    return weights


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return alarmed_weights(tmp_path_factory.mktemp("alarmed"), BOTH)


@pytest.fixture(scope="module")
def healthy(alarmed: Path) -> Diagnosis:
    return Diagnoser(alarmed, threads=1).run(phantom_study(HEALTHY))


def test_a_classifier_that_sees_disease_everywhere_is_outvoted(healthy: Diagnosis, alarmed: Path) -> None:
    assert healthy.verdict is Verdict.NEGATIVE
    assert "negative-against-classifier" in codes(healthy.warnings)
    assessed = [one for one in healthy.slices if one.assessed]
    assert all(one.probability is not None and one.probability < 0.5 for one in assessed)
    assert np.mean([(one.classifier_probability or 0) > 0.5 for one in assessed]) > 0.8
    sick = Diagnoser(alarmed, threads=1).run(phantom_study(SICK))
    assert sick.verdict is Verdict.POSITIVE
    infected = {one.index for one in sick.slices if one.infected}
    assert infected <= set(np.flatnonzero(SICK.lesion_mask.any((1, 2))).tolist())


def test_the_literal_rule_of_the_paper_can_be_chosen(alarmed: Path) -> None:
    settings = DiagnoserSettings(decide_by=DecideBy.CLASSIFIER)
    found = Diagnoser(alarmed, settings, threads=1).run(phantom_study(HEALTHY))
    assert found.verdict is Verdict.POSITIVE
    assert found.provenance.settings["decide_by"] == "classifier"
    assert found.provenance.settings["evidence"] is None
    assert all(one.classifier_probability is None for one in found.slices)


def test_the_result_says_what_decided_and_keeps_both_probabilities(healthy: Diagnosis, tmp_path: Path) -> None:
    document = result_document(healthy)
    assert document["provenance"]["settings"]["decide_by"] == "joint"
    assert document["provenance"]["settings"]["evidence"] == BOTH
    told = [(one["probability"], one["classifier_probability"]) for one in document["slices"] if one["assessed"]]
    assert all(joint < own for joint, own in told)
    write_json(healthy, tmp_path)
    stored = read_decision(tmp_path)
    assert stored.scores == healthy.decision.scores
    assert stored.stability == healthy.stability
    assert stored.cross_check == healthy.cross_check


def test_weights_without_evidence_leave_the_decision_to_the_classifier(tmp_path: Path) -> None:
    weights = alarmed_weights(tmp_path, None)
    diagnoser = Diagnoser(weights, threads=1)
    assert diagnoser.settings.decide_by is DecideBy.CLASSIFIER
    assert diagnoser.run(phantom_study(HEALTHY)).verdict is Verdict.POSITIVE
    with pytest.raises(UsageError, match=r"no `evidence`.*jcs calibrate"):
        Diagnoser(weights, DiagnoserSettings(decide_by=DecideBy.JOINT), threads=1)


def test_what_decides_may_be_written_as_a_word() -> None:
    assert DiagnoserSettings(decide_by="joint").decide_by is DecideBy.JOINT  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="segmenter"):
        DiagnoserSettings(decide_by="segmenter")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("margin", "share", "infected"),
    [(3.0, 0.05, True), (3.0, 0.0, False), (-3.0, 0.05, False), (-3.0, 0.0, False)],
    ids=["both", "classifier alone", "segmenter alone", "neither"],
)
def test_a_slice_is_infected_where_both_networks_say_so(margin: float, share: float, infected: bool) -> None:
    probability = np.array([1 / (1 + np.exp(-margin))], np.float32)
    scores = Scores(probability, np.zeros((1, 2, 2), np.float32))
    maps = LesionMaps(np.zeros((1, 4, 4), np.uint8), np.array([share]), LeftOut(0, None))
    assert bool(weigh(scores, maps, SliceEvidence(**BOTH)).probabilities[0] > 0.5) is infected


def test_the_evidence_is_of_what_the_segmenter_marks_and_each_slice_is_segmented_once(alarmed: Path) -> None:
    diagnoser, seen = Diagnoser(alarmed, threads=1), []
    run = diagnoser.segmenter.network.run
    lungs = find_lung_slices(phantom_study(SICK), diagnoser.segmenter.input_size)
    assert lungs is not None
    expected = diagnoser.segment(lungs.crops, lungs.regions)
    maps = segment_slices(diagnoser.segment, lungs, 0.5)
    np.testing.assert_allclose(maps.patches / 255, expected, atol=0.5 / 255 + 1e-6)
    shares = marked_share(expected, lungs.regions)
    np.testing.assert_allclose(maps.shares, shares, atol=0.002)

    def counted(slices: np.ndarray) -> object:
        seen.append(len(slices))
        return run(slices)

    diagnoser.segmenter.network.run = counted  # type: ignore[method-assign,assignment]
    found = diagnoser.run(phantom_study(SICK))
    assert sum(seen) == len(lungs.indices)
    scores = diagnoser.classify(lungs.crops)
    probability = np.minimum(SliceEvidence(**BOTH).apply(scores.margins, shares), scores.probabilities)
    told = [one.probability for one in found.slices if one.probability is not None]
    assert told == pytest.approx(probability.tolist(), abs=0.02)
