"""Evaluation within a source: choices are made on its validation slices, its test slices are evaluated."""

from __future__ import annotations

from experiments.generalising.evidence import Evidence, from_origins
from experiments.generalising.lung_features import fitted, lung_features
from experiments.generalising.readings import best_reading, evidence
from experiments.generalising.runs import in_split, predict_run
from experiments.workspace import Workspace

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.training.config import TrainConfig


def evidence_within(
    name: str, config: TrainConfig, slices: PreparedSlices, workspace: Workspace
) -> tuple[str, dict[str, Evidence]]:
    """The chosen reading, and the evidence from each origin for the validation and the test slices.

    Args:
        name: of the run whose segmenter marks; it was trained on no test slice.
        config: that run's.
        slices: of one source, with their splits; the regression is fitted on the training slices.
        workspace: of the runs.
    """
    validation, test = slices.split("val"), slices.split("test")
    marks = predict_run(name, config, validation, workspace)
    reading = best_reading([(marks, validation)])
    by_marks = Evidence(
        evidence(reading, marks, validation), evidence(reading, predict_run(name, config, test, workspace), test)
    )
    features, infected = lung_features(slices, workspace), slices.infected == 1
    taught, known, evaluated = (in_split(slices, each) for each in ("train", "val", "test"))
    line = fitted([(features[taught], infected[taught])], (features[known], infected[known]))
    by_features = Evidence(line(features[known]), line(features[evaluated]))
    return reading, from_origins(lesion_marks=by_marks, lung_features=by_features)
