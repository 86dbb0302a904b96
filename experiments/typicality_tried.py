"""What was tried for knowing when not to answer and for calibration, on training and validation slices only.

    python experiments/typicality_tried.py --data ../shared/data --cache runs/cache

Writes docs/tried/typicality.json and docs/tried/typicality.md. No test slice is looked at. What ships is fitted by
`jcs calibrate` and held against test slices by `jcs evaluate typicality`, `coverage` and `classification`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, spatial, special
from sklearn.isotonic import IsotonicRegression

from jcs_ct.datasets.prepared import PreparedSlices, prepare
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.slices import BORDER
from jcs_ct.diagnosis.typicality import MOST
from jcs_ct.evaluation.calibration import LIMIT, brier_score, expected_calibration_error
from jcs_ct.evaluation.metrics import roc_auc
from jcs_ct.evaluation.typicality import BEYOND, UNUSUAL, fit_typicality
from jcs_ct.morphology import convex_hull, dilated
from jcs_ct.trials.strange import STRANGE
from jcs_ct.trials.typicality import CHANGED, LEARNED_FROM

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "tried"
CALIBRATED = ("sars-cov-2-ct", "ucsd-covid-ct")
FOLDS = 5
Array = NDArray[Any]
Distance = Callable[[Array], Array]
"""Features (N, C) to (N,)."""


@dataclass(frozen=True)
class Slices:
    """Slices of one source and what the classifier gives."""

    source: str
    features: Array
    """(N, C) of the classifier, or (N, K) of the pictures themselves."""
    margin: Array
    """(N,) logit of the probability before calibration."""
    infected: Array
    groups: Array
    split: Array

    def part(self, chosen: Array) -> Slices:
        """The slices where (N,) is True."""
        own = (self.features, self.margin, self.infected, self.groups, self.split)
        return Slices(self.source, *(values[chosen] for values in own))


def picture_features(images: Array) -> Array:
    """(N, 2·h·w): mean and spread of squares of 16 pixels, which needs no network."""
    height, width = images.shape[1] // 16, images.shape[2] // 16
    squares = images[:, : 16 * height, : 16 * width].reshape(len(images), height, 16, width, 16) / np.float32(255)
    return np.concatenate([s.reshape(len(images), -1) for s in (squares.mean((2, 4)), squares.std((2, 4)))], 1)


def classified(diagnoser: Diagnoser, images: Array) -> tuple[Array, Array]:
    """Features and margins of crops."""
    scores = diagnoser.classify(images, calibrated=False)
    if scores.features is None:
        raise SystemExit("this classifier does not tell its features: export it anew")
    return scores.features, special.logit(np.clip(scores.probabilities.astype(float), LIMIT, 1 - LIMIT))


# --- Scores of atypicality ---------------------------------------------------------------------------------------


def roots(train: Array) -> Distance:
    """What ships."""
    return fit_typicality(train).atypicality


def plain(train: Array) -> Distance:
    """Mahalanobis of the features themselves: the same on squares, whose roots they are."""
    fitted = fit_typicality(train**2)
    return lambda features: fitted.atypicality(features**2)


def _unit(features: Array) -> Array:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


def directions(train: Array) -> Distance:
    """Mahalanobis of features divided by their length."""
    fitted = fit_typicality(_unit(train) ** 2)
    return lambda features: fitted.atypicality(_unit(features) ** 2)


def neighbours(train: Array) -> Distance:
    """Mean distance of the ten nearest training slices by direction."""
    tree = spatial.cKDTree(_unit(train))
    return lambda features: np.asarray(tree.query(_unit(features), 10)[0]).mean(1)


def residual(train: Array) -> Distance:
    """What 128 principal axes leave over."""
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:128]
    return lambda features: np.linalg.norm((features - mean) - (features - mean) @ axes.T @ axes, axis=1)


SCORES: dict[str, tuple[Callable[[Array], Distance], bool]] = {
    "Mahalanobis of the roots of features (ships)": (roots, False),
    "Mahalanobis of features": (plain, False),
    "Mahalanobis of features' directions": (directions, False),
    "ten nearest neighbours by direction": (neighbours, False),
    "distance from 128 principal axes": (residual, False),
    "Mahalanobis of means and spreads of squares of 16 pixels": (plain, True),
}
"""By name: how it is fitted, and whether on pictures in place of the classifier's features."""


def score_row(fit: Callable[[Array], Distance], found: dict[str, Slices], strange: dict[str, Array]) -> dict[str, Any]:
    """Figures of one score; `strange` holds features of changed slices, and of the same unchanged as `as_is`."""
    distance = fit(np.concatenate([s.part(s.split == "train").features for s in found.values()]))
    val = np.concatenate([distance(s.part(s.split == "val").features) for s in found.values()])
    limit, usual = np.quantile(val, BEYOND), distance(strange["as_is"])
    far = {name: distance(features) for name, features in strange.items() if name != "as_is"}
    known = np.repeat([False, True], len(usual))
    aucs = [roc_auc(known, np.concatenate([usual, own])) or 0.0 for own in far.values()]
    beyond = [float((own > limit).mean()) for own in far.values()]
    surest = found["sars-cov-2-ct"].part(found["sars-cov-2-ct"].split == "val")
    left_out = {level: _left_out(fit, found, level) for level in (UNUSUAL, BEYOND)}
    return {
        "auc": float(np.mean(aucs)),
        "auc_least": float(np.min(aucs)),
        "beyond": float(np.mean(beyond)),
        "kinds_refused": int(sum(share > MOST for share in beyond)),
        "auc_of_errors": roc_auc((surest.margin > 0) != surest.infected, distance(surest.features)),
        "groups_refused_of_a_source_left_out_0.95": left_out[UNUSUAL],
        "groups_refused_of_a_source_left_out_0.99": left_out[BEYOND],
    }


def _left_out(fit: Callable[[Array], Distance], found: dict[str, Slices], level: float) -> dict[str, float]:
    """Share of a source's groups that would be refused, had its slices taken no part in the fit."""
    refused = {}
    for name, own in found.items():
        others = [s for s in found.values() if s.source != name]
        distance = fit(np.concatenate([s.part(s.split == "train").features for s in others]))
        limit = np.quantile(np.concatenate([distance(s.part(s.split == "val").features) for s in others]), level)
        seen = own.part(own.split != "test")
        beyond = distance(seen.features) > limit
        refused[name] = float(np.mean([beyond[seen.groups == g].mean() > MOST for g in np.unique(seen.groups)]))
    return refused


# --- Calibration -------------------------------------------------------------------------------------------------

Shape = Callable[[Slices, Array, Array], Callable[[Slices, Array], Array]]
"""Fitted on slices, their atypicality and weights: gives probabilities of slices and their atypicality."""


def _least(design: Array, infected: Array, weight: Array) -> Array:
    sign = np.where(infected, 1.0, -1.0)

    def loss(line: Array) -> float:
        return float(np.logaddexp(0, -sign * (design @ line)) @ weight + 1e-4 * line @ line)

    return np.asarray(optimize.minimize(loss, np.zeros(design.shape[1]), method="BFGS").x)


def _linear(design: Callable[[Slices], Array]) -> Shape:
    def fit(slices: Slices, far: Array, weight: Array) -> Callable[[Slices, Array], Array]:
        line = _least(design(slices), slices.infected, weight)
        return lambda others, _: special.expit(design(others) @ line)

    return fit


def isotonic(slices: Slices, far: Array, weight: Array) -> Callable[[Slices, Array], Array]:
    """Any rising curve."""
    curve = IsotonicRegression(y_min=0.02, y_max=0.98, out_of_bounds="clip")
    curve.fit(slices.margin, slices.infected, sample_weight=weight)
    return lambda others, _: curve.predict(others.margin)


def less_sure_far_out(slices: Slices, far: Array, weight: Array) -> Callable[[Slices, Array], Array]:
    """Platt's line, flatter by a power of atypicality."""
    sign = np.where(slices.infected, 1.0, -1.0)

    def logit(line: Array, margin: Array, away: Array) -> Array:
        return np.asarray(np.exp(np.clip(line[0] - line[1] * np.log(away), -6, 4)) * margin + line[2])

    def loss(line: Array) -> float:
        return float(np.logaddexp(0, -sign * logit(line, slices.margin, far)) @ weight)

    line = optimize.minimize(loss, np.zeros(3), method="Nelder-Mead").x
    return lambda others, away: special.expit(logit(line, others.margin, away))


platt = _linear(lambda s: np.stack([s.margin, np.ones_like(s.margin)], 1))
temperature = _linear(lambda s: s.margin[:, None])
beta = _linear(
    lambda s: np.stack([special.log_expit(s.margin), -special.log_expit(-s.margin), np.ones_like(s.margin)], 1)
)


def equal(slices: Slices, sources: Array) -> Array:
    """(N,) weights: sources the same, within each the classes, within these the patients."""
    weight = np.empty(len(slices.margin))
    for source in np.unique(sources):
        for kind in (True, False):
            own = np.flatnonzero((sources == source) & (slices.infected == kind))
            _, index, sizes = np.unique(slices.groups[own], return_inverse=True, return_counts=True)
            weight[own] = 1 / sizes[index] / len(sizes)
    return np.asarray(weight / weight.sum())


def by_slice(slices: Slices, sources: Array) -> Array:
    """(N,) weights: all slices the same."""
    return np.full(len(slices.margin), 1 / len(slices.margin))


Weights = Callable[[Slices, Array], Array]
FITS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Weights, Shape]] = {
    "Platt, before": (CALIBRATED[:1], ("val",), by_slice, platt),
    "Platt, patients and classes equal": (CALIBRATED[:1], ("val",), equal, platt),
    "Platt, by slice": (CALIBRATED[:1], ("train", "val"), by_slice, platt),
    "Platt, patients and classes equal (ships)": (CALIBRATED[:1], ("train", "val"), equal, platt),
    "temperature, the same": (CALIBRATED[:1], ("train", "val"), equal, temperature),
    "beta, the same": (CALIBRATED[:1], ("train", "val"), equal, beta),
    "isotonic, the same": (CALIBRATED[:1], ("train", "val"), equal, isotonic),
    "Platt, both sources equal": (CALIBRATED, ("train", "val"), equal, platt),
    "flatter far out, both sources equal": (CALIBRATED, ("train", "val"), equal, less_sure_far_out),
}
"""By name: sources and splits that it is fitted on, how they are weighted, and the curve."""


def calibration_row(
    fit: tuple[tuple[str, ...], tuple[str, ...], Weights, Shape], found: dict[str, Slices], far: dict[str, Array]
) -> dict[str, Any]:
    """Cross-fitted by patient on what it is fitted on; other sources by a fit on all of that."""
    chosen, splits, weights, shape = fit
    own = {name: found[name].part(np.isin(found[name].split, splits)) for name in chosen}
    away = {name: far[name][np.isin(found[name].split, splits)] for name in chosen}
    joined = Slices("", *(np.concatenate([getattr(own[n], field) for n in chosen]) for field in _FIELDS))
    sources = np.concatenate([np.full(len(own[n].margin), n) for n in chosen])
    distance = np.concatenate([away[n] for n in chosen])
    fold = _folds(np.char.add(np.char.add(sources, "/"), joined.groups.astype(str)))
    said = np.empty(len(joined.margin))
    for k in range(FOLDS):
        kept, out = joined.part(fold != k), joined.part(fold == k)
        curve = shape(kept, distance[fold != k], weights(kept, sources[fold != k]))
        said[fold == k] = curve(out, distance[fold == k])
    everything = shape(joined, distance, weights(joined, sources))
    row: dict[str, Any] = {"sources": list(chosen), "splits": list(splits)}
    for name in CALIBRATED:
        if name in chosen:
            row[name] = _figures(said[sources == name], own[name])
        else:
            others = found[name].part(found[name].split != "test")
            row[name] = _figures(everything(others, far[name][found[name].split != "test"]), others)
    return row


_FIELDS = ("features", "margin", "infected", "groups", "split")


def _folds(groups: Array) -> Array:
    names, index = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(1).permutation(len(names)) % FOLDS)[index]


def _figures(said: Array, slices: Slices) -> dict[str, float]:
    val, found = slices.split == "val", {}
    for name, chosen in (("", np.ones(len(val), bool)), ("_val", val)):
        probability, infected = said[chosen], slices.infected[chosen]
        true = np.clip(np.where(infected, probability, 1 - probability), 1e-3, 1)
        found[f"ece{name}"] = expected_calibration_error(probability, infected)
        found[f"brier{name}"] = brier_score(probability, infected)
        found[f"log_loss{name}"] = float(-np.log(true).mean())
    return found


# --- All of it ---------------------------------------------------------------------------------------------------


def strange_crops(slices: list[PreparedSlices]) -> dict[str, Array]:
    """Validation slices of each source as they are, and made strange."""
    pictures = []
    for own in slices:
        for k in np.linspace(0, len(own) - 1, min(CHANGED, len(own))).astype(int):
            pictures.append((own.images[k], dilated(convex_hull(own.lung_masks[k]), BORDER)))
    random = np.random.default_rng(0)
    changed = {name: np.stack([change(*one, random) for one in pictures]) for name, change in STRANGE.items()}
    return {"as_is": np.stack([image for image, _ in pictures]), **changed}


def tried(data: Path, cache: Path | None) -> dict[str, Any]:
    """All figures."""
    diagnoser = Diagnoser()
    size = diagnoser.classifier.input_size
    by_network, by_picture, val = {}, {}, []
    for name in LEARNED_FROM:
        slices = prepare([name], data, size, cache)
        slices = slices.subset(np.array([record.split in ("train", "val") for record in slices.records]))
        features, margin = classified(diagnoser, slices.images)
        groups, split = (np.array([getattr(r, what) for r in slices.records]) for what in ("group", "split"))
        rest = (margin, slices.infected == 1, groups, split)
        by_network[name] = Slices(name, features, *rest)
        by_picture[name] = Slices(name, picture_features(slices.images), *rest)
        val.append(slices.split("val"))
    crops = strange_crops(val)
    networks = {name: classified(diagnoser, own)[0] for name, own in crops.items()}
    pictures = {name: picture_features(own) for name, own in crops.items()}
    scores = {
        name: score_row(fit, by_picture if picture else by_network, pictures if picture else networks)
        for name, (fit, picture) in SCORES.items()
    }
    usual = roots(np.concatenate([s.part(s.split == "train").features for s in by_network.values()]))
    far = {name: usual(by_network[name].features) for name in CALIBRATED}
    fits = {name: calibration_row(fit, by_network, far) for name, fit in FITS.items()}
    return {"weights": diagnoser.weights["classifier"], "scores": scores, "calibration": fits}


def as_markdown(found: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = [
        "# Knowing when not to answer, and calibration: what was tried",
        "",
        "Made by `python experiments/typicality_tried.py --data DIR` on training and validation slices.",
        "",
        f"AUC tells {CHANGED} validation slices of each source from the same made strange, mean and least of the "
        f"{len(STRANGE)} kinds. Beyond: of these, the share beyond the 99th percentile of validation slices, and kinds "
        "of which more than half are. Errors: AUC of the classifier's errors on validation slices of `sars-cov-2-ct`. "
        "Left out: share of patients refused of a source that took no part in the fit, "
        + " / ".join(f"`{name}`" for name in LEARNED_FROM)
        + ".",
        "",
        "| score | AUC | least | beyond | kinds | errors | left out, limit at 95 % | at 99 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["scores"].items():
        refused = [
            " / ".join(f"{share:.3f}" for share in row[f"groups_refused_of_a_source_left_out_{level}"].values())
            for level in ("0.95", "0.99")
        ]
        lines.append(
            f"| {name} | {row['auc']:.3f} | {row['auc_least']:.2f} | {row['beyond']:.3f} | {row['kinds_refused']} | "
            f"{row['auc_of_errors']:.2f} | {refused[0]} | {refused[1]} |"
        )
    lines += [
        "",
        "Calibration, five-fold by patient: ECE, Brier score and log loss of each source, and ECE of its validation "
        "part alone, which the network did not learn from. A source that a curve was not fitted on is seen whole.",
        "",
        "| curve | fitted on | "
        + " | ".join(f"`{name}`: ECE, Brier, log loss | ECE val" for name in CALIBRATED)
        + " |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in found["calibration"].items():
        cells = [
            f"{row[s]['ece']:.3f}, {row[s]['brier']:.3f}, {row[s]['log_loss']:.3f} | {row[s]['ece_val']:.3f}"
            for s in CALIBRATED
        ]
        lines.append(f"| {name} | {', '.join(row['sources'])}: {', '.join(row['splits'])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try all and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--cache", type=Path, default=None, help="folder to keep prepared slices in")
    arguments = parser.parse_args()
    found = tried(arguments.data, arguments.cache)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "typicality.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (OUT / "typicality.md").write_text(as_markdown(found), encoding="utf-8")


if __name__ == "__main__":
    main()
