"""The published split of a source: by marks of a segmenter that was not trained on it, and by lung features."""

from __future__ import annotations

import numpy as np
from experiments.generalising.figures import auc_with_interval, slice_figures
from experiments.generalising.left_out import LEFT_OUT, left_out_config
from experiments.generalising.results import Figures, Result
from experiments.generalising.runs import groups_of, labelled_slices, train_runs
from experiments.generalising.within_source import evidence_within
from experiments.workspace import Workspace

from jcs_ct.evaluation.metrics import sensitivity_specificity

SPLIT = "ucsd-covid-ct"


def authors_split(workspace: Workspace) -> list[Result]:
    """Evaluate the test slices once; reading, regularisation and scaling are chosen on the validation slices."""
    name, config = f"empty-{LEFT_OUT[SPLIT]}", left_out_config(LEFT_OUT[SPLIT], workspace)
    train_runs({name: config}, workspace)
    slices = labelled_slices(SPLIT, config, workspace)
    known, evaluated = slices.split("val"), slices.split("test")
    reading, origins = evidence_within(name, config, slices, workspace)
    results, truth = [], evaluated.infected == 1
    for by, each in origins.items():
        try:
            _, said = each.probabilities(known.infected == 1, groups_of(known))
        except ValueError:  # no calibration exists; only the order is evaluated
            figures: Figures = {
                "slices": len(evaluated),
                **auc_with_interval(truth, each.evaluated, groups_of(evaluated)),
            }
        else:
            figures = slice_figures(said, truth, groups_of(evaluated)) | _at_half(said > 0.5, truth)
        results.append(Result(SPLIT, f"authors' split, by {by}; test slices", figures))
    results[0].figures["reading, chosen on validation slices"] = reading
    return results


def _at_half(called: np.ndarray, truth: np.ndarray) -> Figures:
    sensitivity, specificity = sensitivity_specificity(truth, called)
    f1 = 2 * float((called & truth).sum()) / float(called.sum() + truth.sum())
    return {"F1 at 0.5": f1, "sensitivity at 0.5": sensitivity, "specificity at 0.5": specificity}
