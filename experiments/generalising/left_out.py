"""Each labelled source in turn, evaluated by networks that were not trained on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from experiments.generalising import results as protocol_results
from experiments.generalising.evidence import Evidence, from_origins
from experiments.generalising.figures import auc, auc_with_interval
from experiments.generalising.lung_features import Features, fitted, lung_features
from experiments.generalising.readings import READINGS, Probabilities, best_reading, evidence, marked_share
from experiments.generalising.results import Figures, Result
from experiments.generalising.runs import encoder_of, groups_of, in_split, labelled_slices, predict_run, train_runs
from experiments.workspace import Workspace
from numpy.typing import NDArray

from jcs_ct.datasets.prepared import EMPTY_MASK, PreparedSlices
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE
from jcs_ct.training.config import TrainConfig, load_config
from jcs_ct.training.losses import LEAST_BURDEN

LEFT_OUT = {"sars-cov-2-ct": "mosmed-slices", "mosmed-slices": "sars-cov-2-ct", "ucsd-covid-ct": "sars-cov-2-ct"}
"""Each source that is left out, and the source of the uninfected training slices. Two of them share a run."""


def left_out_config(empty: str, workspace: Workspace) -> TrainConfig:
    """The segmenter trained on the reader's masks and on empty masks of one source."""
    config = load_config(protocol_results.CONFIGS / "left_out.yaml")
    batch = tuple(replace(g, sources=(empty,)) if g.kind == "uninfected" else g for g in config.batch)
    return replace(config, batch=batch, init=encoder_of("teacher", workspace), **workspace.settings)


def left_out(workspace: Workspace) -> list[Result]:
    """Evaluate each source; reading and regression come from the other labelled sources."""
    runs = {f"empty-{empty}": left_out_config(empty, workspace) for empty in sorted(set(LEFT_OUT.values()))}
    train_runs(runs, workspace)
    results = []
    for source, empty in LEFT_OUT.items():
        name = f"empty-{empty}"
        slices = {each: labelled_slices(each, runs[name], workspace) for each in LEFT_OUT}
        known = [one.split("val") for each, one in slices.items() if each != source]
        said = [(predict_run(name, runs[name], one, workspace), one) for one in known]
        marks = predict_run(name, runs[name], slices[source], workspace)
        results.append(_left_out(source, empty, slices, marks, said, workspace))
    return results


def _left_out(
    source: str,
    empty: str,
    slices: dict[str, PreparedSlices],
    marks: Probabilities,
    known: list[tuple[Probabilities, PreparedSlices]],
    workspace: Workspace,
) -> Result:
    """Figures of all slices of the source; `known` are marks and slices used for choices."""
    evaluated, reading = slices[source], best_reading(known)
    by_marks = Evidence(
        np.concatenate([evidence(reading, said, one) for said, one in known]), evidence(reading, marks, evaluated)
    )
    truth, groups = evaluated.infected == 1, groups_of(evaluated)
    figures: Figures = {"slices": len(evaluated), "reading": reading}
    for by, each in from_origins(lesion_marks=by_marks, lung_features=_by_features(source, slices, workspace)).items():
        figures |= {
            f"{name} by {by}": value for name, value in auc_with_interval(truth, each.evaluated, groups).items()
        }
    for other, read in READINGS.items():
        figures[f"AUC by {other}"] = auc(truth, read(marks, evaluated.lung_masks))
    return Result(source, f"left out; empty masks of {empty}", figures | _falsely_marked(evaluated, marks))


def _by_features(source: str, slices: dict[str, PreparedSlices], workspace: Workspace) -> Evidence:
    """Regression fitted on training slices of the other sources and chosen on their validation slices."""
    taught: list[tuple[Features, NDArray[np.bool_]]] = []
    known: list[tuple[Features, NDArray[np.bool_]]] = []
    for each in slices:
        if each != source:
            features, infected = lung_features(slices[each], workspace), slices[each].infected == 1
            for split, target in (("train", taught), ("val", known)):
                own = in_split(slices[each], split)
                target.append((features[own], infected[own]))
    every = np.concatenate([one for one, _ in known]), np.concatenate([one for _, one in known])
    line = fitted(taught, every)
    return Evidence(line(every[0]), line(lung_features(slices[source], workspace)))


def _falsely_marked(slices: PreparedSlices, marks: Probabilities) -> Figures:
    empty = slices.mask_kinds == EMPTY_MASK
    if not empty.any():  # the uninfected figures of ucsd-covid-ct show other disease
        return {}
    share = marked_share(marks[empty], slices.lung_masks[empty], 0.5)
    limit = FALSELY_MARKED_SHARE - LEAST_BURDEN  # because the share includes the latter
    name = f"uninfected slices with more than {100 * limit:.1f} % of the lungs marked"
    return {name: float((share > FALSELY_MARKED_SHARE).mean())}
