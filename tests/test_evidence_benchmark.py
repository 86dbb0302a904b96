"""`jcs calibrate --only evidence`: fitted on several sources, and kept in the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jcs_ct.benchmarks.evidence import predict_evidence, usable
from jcs_ct.datasets.prepared import prepare_records
from jcs_ct.datasets.sources import read_source
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.errors import DataError
from jcs_ct.evaluation.evidence import SliceEvidence
from jcs_ct.weights import load_evidence, load_manifest
from tests.command_line import CommandLine
from tests.mini_data import write_mini_data
from tests.opacity_networks import write_weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mini_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "weights")


def test_the_fit_goes_into_the_manifest_beside_the_networks(data: Path, weights: Path, jcs: CommandLine) -> None:
    assert load_evidence(weights) is None
    ended = jcs("calibrate", "--weights", weights, "--data", data, "--only", "evidence")
    assert ended.code == 0, ended.err
    found = load_evidence(weights)
    assert found is not None
    evidence = SliceEvidence(**found)
    assert max(evidence.margin, evidence.share) > 0
    told = json.loads((weights / "manifest.json").read_text(encoding="utf-8"))["evidence_fitted_on"]
    assert told.startswith("sars-cov-2-ct, mosmed-slices, coronacases-masks, ")
    assert set(load_manifest(weights)) == {"classifier", "segmenter"}


def test_an_infected_slice_counts_where_a_reader_outlined_it(data: Path) -> None:
    kept = usable(read_source("mosmed-slices", data))
    assert kept
    assert {record.infected for record in kept} == {False}
    assert {record.infected for record in usable(read_source("coronacases-masks", data))} == {True, False}


def test_what_is_marked_and_how_much_of_the_lung_are_told_together(data: Path, weights: Path) -> None:
    diagnoser = Diagnoser(weights)
    records = [r for r in read_source("sars-cov-2-ct", data) if r.split == "val"]
    slices = prepare_records(records, diagnoser.classifier.input_size)
    found = predict_evidence(diagnoser, slices, lambda count: None)
    assert len(found.records) == len(found.margins) == len(found.shares) == len(found.marked) == 4
    assert found.shares[found.infected].min() > found.shares[~found.infected].max()
    assert set(found.patients.tolist()) == {f"sars-cov-2-ct/{record.group}" for record in records}


def test_no_slices_are_a_data_error(data: Path, weights: Path) -> None:
    diagnoser = Diagnoser(weights)
    slices = prepare_records(read_source("covid-19-ct100", data)[:1], diagnoser.classifier.input_size)
    with pytest.raises(DataError, match="found no slices"):
        predict_evidence(diagnoser, slices.split("nothing"), lambda count: None)
