"""Measure what each training step of the default segmenter gains.

    python experiments/steps.py --data DIR --imagenet FILE

Trains one small segmenter for each step, which adds one thing to the step before, and evaluates all of them and the
shipped weights on slices that no step was trained on or chosen by. Runs are kept below `--output` and resume where they
stopped. If you move a run away that later runs take masks from, move those away as well. Writes docs/steps.json,
docs/steps.md and docs/images/steps.svg.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of a backend that needs no screen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script, only its own folder is on the path
from experiments.generalising.readings import READINGS, Probabilities, marked_share
from experiments.generalising.runs import groups_of, predict_slices, train_runs
from experiments.workspace import Workspace

from jcs_ct.datasets.prepared import EMPTY_MASK, PreparedSlices, prepare_records
from jcs_ct.datasets.sources import read_source
from jcs_ct.errors import DataError, JcsError
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE, bootstrap_interval, dice_per_image, pooled_dice, roc_auc
from jcs_ct.training.config import AugmentSettings, BatchGroup, TrainConfig, load_config
from jcs_ct.training.losses import LEAST_BURDEN
from jcs_ct.weights import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "steps" / "segmenter.yaml"
OUTLINED, LABELLED = "covid-19-ct100", ("sars-cov-2-ct", "mosmed-slices", "ucsd-covid-ct")
UNINFECTED = "sars-cov-2-ct"
"""Whose uninfected slices must stay unmarked; those of ucsd-covid-ct show other disease."""
SPLITS = {OUTLINED: "test", "sars-cov-2-ct": "test", "mosmed-slices": "val", "ucsd-covid-ct": "test"}
"""Evaluated splits. No step is trained on these slices or chooses its checkpoint by them; mosmed-slices has no test
split, so its validation slices are kept out of that choice."""
SHOWN_READINGS = ("surest 200 pixels", "lesion burden")
DICE, POOLED, MARKED = "Dice per image", "Dice over all pixels", "falsely marked"
SURE = 0.5


@dataclass(frozen=True)
class Step:
    """A step: one addition to the step before."""

    name: str
    adds: str
    """Description for the page."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from those of the step before."""
    masks_of: str | None = None
    """An earlier step whose segmenter outlines slices for this one."""

    @property
    def folder(self) -> str:
        """Name of its run's folder."""
        return _folder(self.name)


def _folder(name: str) -> str:
    return name.replace(" ", "-")


def _outlines(count: int) -> BatchGroup:
    return BatchGroup(count, (OUTLINED,), "masked")


AUGMENTED = AugmentSettings(
    rotate=20.0, scale=(0.75, 1.3), elastic=0.008, contrast=0.1, level=0.05, blur=0.2, noise=0.02
)
EMPTY = BatchGroup(2, ("sars-cov-2-ct", "mosmed-slices"), "uninfected")
OWN_MASKS = BatchGroup(2, LABELLED, "infected", pseudo=True)
ANY = BatchGroup(2, ("sars-cov-2-ct", "mosmed-slices"))
STEPS = (
    Step("masks", "a reader's masks of 42 slices, as they are"),
    Step("augmentation", "turned, scaled, bent, brighter, softer, noisier slices", {"augment": AUGMENTED}),
    Step(
        "empty masks",
        "uninfected slices with empty masks, a quarter of a batch",
        {"batch": (_outlines(6), EMPTY)},
    ),
    Step(
        "synthetic mimics",
        "drawn domes and thick slices, which look like opacities",
        {"augment": replace(AUGMENTED, domes=0.15, thick=0.15)},
    ),
    Step(
        "own soft masks",
        "infected slices that nobody outlined, with what the step before marks on them, a quarter of a batch",
        {"batch": (_outlines(4), EMPTY, OWN_MASKS), "pseudo_limit": 120},
        masks_of="synthetic mimics",
    ),
    Step(
        "labels",
        "a loss by labels of slices, which are read from the marks; any slices in place of uninfected ones",
        {"batch": (_outlines(4), OWN_MASKS, ANY), "burden_weight": 2.5, "label_smoothing": 0.1},
        masks_of="synthetic mimics",
    ),
)


class Figure(NamedTuple):
    """A figure of merit and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Row:
    """Figures of one segmenter."""

    name: str
    adds: str
    figures: dict[str, Figure]


def auc_name(source: str, reading: str) -> str:
    """Name of a source's AUC among the figures."""
    return f"AUC, {source}, {reading}"


def step_configs(workspace: Workspace) -> dict[str, TrainConfig]:
    """The run of each step, by its folder."""
    encoder = str(workspace.output / "encoder-default" / "encoder.safetensors")
    config = replace(load_config(CONFIG), init={"encoder": encoder})
    configs = {}
    for step in STEPS:
        taken = step.masks_of and str(_weights(_folder(step.masks_of), workspace))
        config = replace(config, pseudo_masks=taken, **step.changes)
        configs[step.folder] = replace(config, **workspace.settings)
    return configs


def _weights(folder: str, workspace: Workspace) -> Path:
    return workspace.output / folder / "segmenter.safetensors"


def train_in_order(configs: Mapping[str, TrainConfig], workspace: Workspace) -> None:
    """Train the runs without prerequisites in parallel, then those that take masks from them."""
    for waits in (False, True):
        train_runs({name: own for name, own in configs.items() if (own.pseudo_masks is not None) == waits}, workspace)


Parts = dict[str, PreparedSlices]
"""Evaluated slices by source."""


def evaluated_slices(data: Path, size: tuple[int, int]) -> Parts:
    """The slices of `SPLITS`, at a network's input size."""
    return {
        source: prepare_records([record for record in read_source(source, data) if record.split == split], size)
        for source, split in SPLITS.items()
    }


def evaluate(look: Callable[[PreparedSlices], Probabilities], parts: Parts) -> dict[str, Figure]:
    """All figures of one segmenter.

    Args:
        look: returns the segmenter's probabilities for slices.
        parts: evaluated slices.

    Raises:
        DataError: a split lacks the slices that a figure needs.
    """
    figures: dict[str, Figure] = {}
    for source, slices in parts.items():
        said = look(slices)
        if source == OUTLINED:
            figures |= outlines(said, slices)
        else:
            figures |= aucs(source, said, slices)
        if source == UNINFECTED:
            figures[MARKED] = falsely_marked(said, slices)
    return figures


def outlines(said: Probabilities, slices: PreparedSlices) -> dict[str, Figure]:
    """Dice with a reader's masks, averaged over slices and over all their pixels."""
    marked, truth = said > SURE, slices.masks > 127
    dice = np.asarray(dice_per_image(marked, truth), float)
    overlaps, totals = (marked & truth).sum((1, 2)), marked.sum((1, 2)) + truth.sum((1, 2))
    groups = groups_of(slices)
    return {
        DICE: _figure(DICE, lambda k: float(dice[k].mean()), groups),
        POOLED: _figure(POOLED, lambda k: pooled_dice(overlaps[k].tolist(), totals[k].tolist()), groups),
    }


def falsely_marked(said: Probabilities, slices: PreparedSlices) -> Figure:
    """Share of the uninfected slices with more than 1 % of the lungs marked."""
    empty = slices.mask_kinds == EMPTY_MASK
    # The reading includes a small constant for its logarithm, which is removed here.
    share = marked_share(said[empty], slices.lung_masks[empty], SURE) - LEAST_BURDEN
    too_much = share > FALSELY_MARKED_SHARE
    return _figure(MARKED, lambda k: float(too_much[k].mean()), groups_of(slices)[empty])


def aucs(source: str, said: Probabilities, slices: PreparedSlices) -> dict[str, Figure]:
    """Slice AUC by each reading of the marks."""
    infected, groups = slices.infected == 1, groups_of(slices)
    figures = {}
    for reading in SHOWN_READINGS:
        score = READINGS[reading](said, slices.lung_masks)
        figures[auc_name(source, reading)] = _figure(auc_name(source, reading), partial(_auc, infected, score), groups)
    return figures


def _auc(infected: NDArray[np.bool_], score: NDArray[np.float32], chosen: NDArray[np.int64]) -> float | None:
    return roc_auc(infected[chosen], score[chosen])


def _figure(name: str, figure: Callable[[NDArray[np.int64]], float | None], groups: NDArray[np.str_]) -> Figure:
    value = figure(np.arange(len(groups))) if len(groups) else None
    if value is None:
        raise DataError(f"{name}: found no infected or no uninfected slices in the evaluated split (see docs/data.md)")
    return Figure(value, *bootstrap_interval(figure, groups))


def evaluate_all(configs: Mapping[str, TrainConfig], workspace: Workspace) -> list[Row]:
    """A row for each step, one for the last step with mirrored views, one for the shipped weights."""
    shipped = load_config(SHIPPED / "segmenter.config.yaml")
    *_, last = configs
    parts = evaluated_slices(workspace.data, configs[last].input_size)
    rows = []
    for step in STEPS:
        look = partial(predict_slices, _weights(step.folder, workspace), configs[step.folder])
        rows.append(Row(step.name, step.adds, evaluate(look, parts)))
    look = partial(predict_slices, _weights(last, workspace), configs[last], mirrored=True)
    adds = "the last step once more, averaged with what it says of the mirror image"
    rows.append(Row("mirrored look", adds, evaluate(look, parts)))
    look = partial(predict_slices, SHIPPED / "segmenter.safetensors", shipped)
    height, width = shipped.input_size
    adds = f"no step: what ships, trained for longer and in several rounds, at {height}×{width}"
    rows.append(Row("the default weights", adds, evaluate(look, evaluated_slices(workspace.data, shipped.input_size))))
    return rows


def as_markdown(rows: Sequence[Row]) -> str:
    """The page."""
    evaluated = ", ".join(f"`{source}` {split}" for source, split in SPLITS.items())
    lines = [
        "# What each step gains", "",
        "Made by `python experiments/steps.py --data DIR --imagenet FILE`; raw figures in `steps.json`. Each row is a",
        "segmenter of default size that adds one thing to the row above. All start from the narrowed ImageNet VGG-16",
        "and train for 300 steps with batches of eight slices of 192×256 pixels and one seed",
        "(`configs/steps/segmenter.yaml`); eight slices of `covid-19-ct100` choose the checkpoint. Only the last row",
        "shows the default weights. Nothing was chosen by these figures.", "",
        f"Evaluated splits: {evaluated}.",
        "No step was trained on them; the default weights were validated on those of `mosmed-slices`. Marks are",
        "compared at the network's input size and a probability of 0.5, so figures differ slightly from those at full",
        "resolution in [results.md](results.md). Intervals: 95 %, bootstrap by patient or group. They show how much",
        "the choice of slices changes a row, not how much another seed would. Small differences between rows may be",
        "chance.", "",
        "![Dice, falsely marked slices and AUC of each step.](images/steps.svg)", "",
        "## Outlines", "",
        "Falsely marked: uninfected slices of `sars-cov-2-ct` with more than 1 % of the lungs marked.", "",
        *_table(rows, {name: name for name in (DICE, POOLED, MARKED)}, adds=True),
    ]  # fmt: skip
    for reading in SHOWN_READINGS:
        lines += ["", f"## AUC of slices, infected or not, by {reading}", ""]
        lines += _table(rows, {f"`{source}`": auc_name(source, reading) for source in LABELLED})
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row], columns: Mapping[str, str], adds: bool = False) -> list[str]:
    """Lines of a table of some figures.

    Args:
        rows: one a segmenter.
        columns: name of the figure by heading.
        adds: whether to say what each row adds.
    """
    heads = ["step", *(["adds"] if adds else []), *columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [row.name, *([row.adds] if adds else []), *(str(row.figures[name]) for name in columns.values())]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


_COLOURS = ("#0072b2", "#d55e00", "#009e73")
"""Distinguishable for colour-blind readers."""
_MARKERS = ("o", "s", "^")


def plot(rows: Sequence[Row], path: Path) -> Path:
    """Three panels beside one list of the steps; rows that are not steps are below a line."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 0.42 * len(rows) + 1.6), sharey=True, layout="constrained")
    by_source = {auc_name(source, SHOWN_READINGS[0]): source for source in LABELLED}
    shown = ({DICE: "mean of slices", POOLED: "all pixels"}, {MARKED: ""}, by_source)
    titles = ("Dice", "share of uninfected slices falsely marked", f"AUC of slices by {SHOWN_READINGS[0]}")
    for axes, series, title in zip(panels, shown, titles, strict=True):
        for number, (name, label) in enumerate(series.items()):
            found = np.array([row.figures[name] for row in rows])
            places = np.arange(len(rows)) + 0.22 * (number - (len(series) - 1) / 2)
            around = np.maximum([found[:, 0] - found[:, 1], found[:, 2] - found[:, 0]], 0)
            style = {"fmt": _MARKERS[number], "color": _COLOURS[number], "markersize": 4.5, "elinewidth": 1.2}
            axes.errorbar(found[:, 0], places, xerr=around, label=label, **style)
        axes.axhline(len(STEPS) - 0.5, color="#888888", linewidth=0.8, linestyle="--")
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, fontsize=10)
        if len(series) > 1:  # below the rows
            compact = {"columnspacing": 1.0, "handletextpad": 0.2, "fontsize": 8, "frameon": False}
            axes.legend(ncols=len(series), loc="upper center", bbox_to_anchor=(0.5, -0.08), **compact)
    names = [f"+ {row.name}" if 0 < number < len(STEPS) else row.name for number, row in enumerate(rows)]
    panels[0].set_yticks(range(len(rows)), names)
    panels[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "steps"}):  # the same figures give the same file
        figure.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None, dpi=110)
    plt.close(figure)
    return path


def write(rows: Sequence[Row], docs: Path) -> None:
    """Write the figures, the page and the picture."""
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "steps.json").write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    (docs / "steps.md").write_text(as_markdown(rows), encoding="utf-8")
    plot(rows, docs / "images" / "steps.svg")


def read_rows(path: Path) -> list[Row]:
    """Read the figures that `write` stored."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    return [replace(Row(**row), figures={name: Figure(*own) for name, own in row["figures"].items()}) for row in kept]


def compare(workspace: Workspace, docs: Path) -> None:
    """Train what is missing, evaluate everything, and write it down."""
    configs = step_configs(workspace)
    train_in_order(configs, workspace)
    write(evaluate_all(configs, workspace), docs)


def main() -> int:
    """Parse, train, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--imagenet", type=Path, required=True, help="torchvision-shaped ImageNet VGG-16 weights")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "steps")
    parser.add_argument("--workers", type=int, default=1, help="trainings in parallel")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        compare(Workspace(given.data, given.output, given.imagenet, given.workers), ROOT / "docs")
    except JcsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
