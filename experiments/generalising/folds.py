"""Five folds by group on one source: by marks, by lung features, and by both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from experiments.generalising import results as protocol_results
from experiments.generalising.figures import Predicted, auc, best_rule, group_figures, slice_figures
from experiments.generalising.results import Figures, Result
from experiments.generalising.runs import encoder_of, groups_of, labelled_slices, train_runs
from experiments.generalising.within_source import evidence_within
from experiments.workspace import Workspace

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.training.config import TrainConfig, load_config

FOLDED, COUNT = "sars-cov-2-ct", 5
DOUBTFUL_GROUPS = ("c051", "c068")
"""Groups labelled infected that were inspected after the evaluation, not by a radiologist: none of the 39 slices of the
first and few of the 70 of the second show an opacity. They are in all figures except the one that leaves them out."""


def fold_config(number: int, workspace: Workspace) -> TrainConfig:
    """The segmenter of one fold."""
    settings = workspace.settings | {"fold": f"{FOLDED}:{number}of{COUNT}"}
    return replace(
        load_config(protocol_results.CONFIGS / "segmenter.yaml"), init=encoder_of("default", workspace), **settings
    )


def five_folds(workspace: Workspace) -> list[Result]:
    """Evaluate every slice once, by networks trained on other groups.

    Reading, regularisation, calibration and aggregation per group are chosen on the validation folds.
    """
    runs = {f"fold{number}": fold_config(number, workspace) for number in range(1, COUNT + 1)}
    train_runs(runs, workspace)
    known: dict[str, list[Predicted]] = {}
    evaluated: dict[str, list[Predicted]] = {}
    readings = []
    for name, config in runs.items():
        slices = labelled_slices(FOLDED, config, workspace)
        slices.records = refolded(slices.records, Fold.parse(str(config.fold)))
        validation, test = slices.split("val"), slices.split("test")
        reading, found = evidence_within(name, config, slices, workspace)
        readings.append(reading)
        labels = validation.infected == 1, groups_of(validation)
        for by, each in found.items():
            of_known, of_evaluated = each.probabilities(*labels)
            known.setdefault(by, []).append((of_known, *labels))
            evaluated.setdefault(by, []).append((of_evaluated, test.infected == 1, groups_of(test)))
    results = [result for by in evaluated for result in _results(by, known[by], evaluated[by])]
    results[0].figures["reading of each fold, chosen on another one"] = ", ".join(readings)
    return results


def _results(by: str, known: Sequence[Predicted], evaluated: Sequence[Predicted]) -> Iterator[Result]:
    said, truth, groups = (np.concatenate([fold[part] for fold in evaluated]) for part in range(3))
    seen = ~np.isin(groups, DOUBTFUL_GROUPS)
    protocol, rule = f"{COUNT} folds by group, by {by}", best_rule(known)
    of_every_slice = slice_figures(said, truth, groups) | {
        "AUC of each fold": [round(auc(one, score), 3) for score, one, _ in evaluated],
        f"AUC without groups {' and '.join(DOUBTFUL_GROUPS)}": auc(truth[seen], said[seen]),
    }
    yield Result(FOLDED, f"{protocol}; slices", of_every_slice)
    chosen: Figures = {"probability of a group, of those of its slices": rule}
    yield Result(FOLDED, f"{protocol}; groups", group_figures(said, truth, groups, rule) | chosen)
