"""How a decision by lesion burden holds on patients, and on sources, that nothing was trained on.

    python experiments/generalisation.py folds left-out --data ../shared/data --imagenet vgg16_imagenet.safetensors

`folds`: five folds by group on sars-cov-2-ct, each with a new segmenter that learns from masks of another source and
from the labels of slices (configs/generalisation/segmenter.yaml). `left-out`: each source with labels in turn, outlined
by a segmenter that saw nothing of it (configs/generalisation/left_out.yaml). Runs are kept below `--output` and taken
up where they stopped. Writes docs/generalisation.json and docs/generalisation.md; about two hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.prepared import EMPTY_MASK, PreparedSlices, prepare
from jcs_ct.errors import JcsError, UsageError
from jcs_ct.evaluation.calibration import brier_score, expected_calibration_error, fit_platt
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE, bootstrap_interval, roc_auc
from jcs_ct.models import registry
from jcs_ct.training.config import BatchGroup, TrainConfig, load_config
from jcs_ct.training.losses import LEAST_BURDEN, lesion_burden
from jcs_ct.training.run import RunPaths, load_weights, train

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "generalisation"
FOLDED, COUNT = "sars-cov-2-ct", 5
LEFT_OUT = {"sars-cov-2-ct": "mosmed-slices", "mosmed-slices": "sars-cov-2-ct", "ucsd-covid-ct": "sars-cov-2-ct"}
"""Each source that is left out, and whose uninfected slices teach what is no lesion; also whose labels choose how the
marks are read. Two of them share a run."""
WANTED_SPECIFICITY = 0.93
Probabilities = NDArray[np.float32]
"""(N, H, W) of lesion."""
Figures = dict[str, float | int | str | list[float]]


def burden(probability: Probabilities, lung: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N,): share of the lungs that is lesion; see `losses.lesion_burden`."""
    return lesion_burden(torch.from_numpy(probability)[:, None], torch.from_numpy(lung)[:, None]).numpy()


def marked_share(probability: Probabilities, lung: NDArray[np.bool_], above: float) -> NDArray[np.float32]:
    """(N,): share of the lungs whose probability is above a limit, plus `LEAST_BURDEN` as in `burden`."""
    return burden((probability > above).astype(np.float32), lung)


def surest(probability: Probabilities, lung: NDArray[np.bool_], pixels: int) -> NDArray[np.float32]:
    """(N,): mean over the pixels of the lungs that are most surely lesion."""
    inside = np.where(lung, probability, 0).reshape(len(probability), -1)
    return np.asarray(-np.partition(-inside, pixels, 1)[:, :pixels].mean(1), np.float32)


READINGS: dict[str, Callable[[Probabilities, NDArray[np.bool_]], NDArray[np.float32]]] = {
    "lesion burden": burden,
    "share above 0.3": partial(marked_share, above=0.3),
    "share above 0.5": partial(marked_share, above=0.5),
    "surest 10 pixels": partial(surest, pixels=10),
    "surest 200 pixels": partial(surest, pixels=200),
}
"""How the marks on a slice become one number."""


@dataclass(frozen=True)
class Place:
    """Where it reads and writes."""

    data: Path
    output: Path
    imagenet: Path
    workers: int = 1
    """Trainings side by side."""
    settings: dict[str, Any] = field(default_factory=dict)
    """In place of the configs'."""

    @property
    def cache(self) -> Path:
        """Of prepared slices."""
        return self.output / "cache"


@dataclass(frozen=True)
class Result:
    """Figures of one protocol on one source."""

    source: str
    protocol: str
    figures: Figures


def fold_config(number: int, place: Place) -> TrainConfig:
    """The segmenter of one fold."""
    settings = place.settings | {"fold": f"{FOLDED}:{number}of{COUNT}"}
    return replace(load_config(CONFIGS / "segmenter.yaml"), init=_init("default", place), **settings)


def left_out_config(empty: str, place: Place) -> TrainConfig:
    """The segmenter whose empty masks are of one source, and who sees the reader's masks beside it only."""
    config = load_config(CONFIGS / "left_out.yaml")
    batch = tuple(replace(g, sources=(empty,)) if g.kind == "uninfected" else g for g in config.batch)
    return replace(config, batch=batch, init=_init("teacher", place), **place.settings)


def _init(size: str, place: Place) -> dict[str, str]:
    return {"encoder": str(place.output / f"encoder-{size}" / "encoder.safetensors")}


def make_encoders(place: Place) -> None:
    """What all runs start from: ImageNet's VGG-16, as wide as the configs say."""
    for size, source in (("default", FOLDED), ("teacher", "covid-19-ct100")):
        folder = place.output / f"encoder-{size}"
        if not (folder / "encoder.safetensors").exists():
            # The narrow one is fitted to slices, without labels or masks.
            config = TrainConfig(
                "encoder", (BatchGroup(1, (source,)),), 1, size=size, init={"imagenet": str(place.imagenet)}
            )
            train(config, RunPaths(place.data, folder, place.cache), "cpu")


def train_missing(runs: dict[str, TrainConfig], place: Place) -> None:
    """Train what is not there yet, with a progress bar.

    Raises:
        UsageError: there is a run of other settings.
    """
    make_encoders(place)
    missing = {name: config for name, config in runs.items() if not _finished(name, config, place)}
    for config in missing.values():  # prepared once, before the runs are told apart
        prepare(sorted({s for g in config.batch for s in g.sources}), place.data, config.input_size, place.cache)
    threads = max(1, len(os.sched_getaffinity(0)) // place.workers)
    # A fork beside the threads of torch can wait for ever.
    pool = ProcessPoolExecutor(place.workers, get_context("spawn"), torch.set_num_threads, (threads,))
    with pool, tqdm(total=len(missing), disable=not sys.stderr.isatty()) as bar:
        started = [pool.submit(_trained, name, config, place) for name, config in missing.items()]
        for one in as_completed(started):
            one.result()
            bar.update()


def _trained(name: str, config: TrainConfig, place: Place) -> None:
    train(config, RunPaths(place.data, place.output / name, place.cache), "cpu", resume=True)


def _finished(name: str, config: TrainConfig, place: Place) -> bool:
    folder = place.output / name
    if (folder / "config.yaml").exists() and load_config(folder / "config.yaml") != config:
        raise UsageError(f"{folder} holds a run of other settings; move it away to train with these")
    return (folder / "summary.json").exists()


def outlined(name: str, config: TrainConfig, slices: PreparedSlices, place: Place) -> Probabilities:
    """What a run's segmenter says of slices, seen once as in a diagnosis."""
    return said_by(place.output / name / "segmenter.safetensors", config, slices)


@torch.inference_mode()
def said_by(weights: Path, config: TrainConfig, slices: PreparedSlices, mirrored: bool = False) -> Probabilities:
    """What a segmenter says of slices.

    Args:
        weights: safetensors.
        config: what they were trained with; tells the network's size and precision.
        slices: at the config's input size.
        mirrored: look at each slice's mirror image as well, and average.

    Raises:
        WeightsError: the weights are missing or of another network.
    """
    network = registry.segmenter(config.size).eval().to(memory_format=torch.channels_last)
    load_weights(network, weights)

    def look(image: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision.startswith("bf16")):
            logits = network(image.to(memory_format=torch.channels_last)).logits
        return torch.sigmoid(logits.float())

    out = np.empty(slices.images.shape, np.float32)
    for start in tqdm(range(0, len(slices), 16), desc=weights.parent.name, disable=not sys.stderr.isatty()):
        image = torch.from_numpy(slices.images[start : start + 16])[:, None].float() / 255
        said = look(image)
        if mirrored:
            said = (said + look(image.flip([3])).flip([3])) / 2
        out[start : start + 16] = said[:, 0].numpy()
    return out


def _slices_of(source: str, config: TrainConfig, place: Place) -> PreparedSlices:
    found = prepare([source], place.data, config.input_size, place.cache)
    return found.subset(found.infected >= 0)


def five_folds(place: Place) -> list[Result]:
    """Every slice once, judged by a segmenter that learned from other groups.

    How its marks are read, and what probability that is, is chosen on the validation fold.
    """
    runs = {f"fold{number}": fold_config(number, place) for number in range(1, COUNT + 1)}
    train_missing(runs, place)
    said, truth, groups, aucs, readings = [], [], [], [], []
    for name, config in runs.items():
        slices = _slices_of(FOLDED, config, place)
        slices.records = refolded(slices.records, Fold.parse(str(config.fold)))
        validation, test = slices.split("val"), slices.split("test")
        patients = np.array([record.group for record in validation.records])
        marks = outlined(name, config, validation, place)
        chosen = best_reading(marks, validation)
        scaling = fit_platt(READINGS[chosen](marks, validation.lung_masks), validation.infected == 1, patients)
        said.append(scaling.apply(READINGS[chosen](outlined(name, config, test, place), test.lung_masks)))
        readings.append(chosen)
        truth.append(test.infected == 1)
        groups.append(np.array([record.group for record in test.records]))
        aucs.append(round(_auc(truth[-1], said[-1]), 3))
    protocol = f"{COUNT} folds by group, new segmenters"
    found = _of_decisions(np.concatenate(said), np.concatenate(truth), np.concatenate(groups), protocol, aucs)
    found[0].figures["reading of each fold, chosen on another one"] = ", ".join(readings)
    return found


def best_reading(marks: Probabilities, slices: PreparedSlices) -> str:
    """The reading that tells infected slices best."""
    return max(READINGS, key=lambda one: _auc(slices.infected == 1, READINGS[one](marks, slices.lung_masks)))


def _of_decisions(
    said: NDArray[np.float32], truth: NDArray[np.bool_], groups: NDArray[np.str_], protocol: str, aucs: list[float]
) -> list[Result]:
    """Figures of slices, and of groups by the mean over their slices."""
    names = np.unique(groups)
    mean = np.array([said[groups == name].mean() for name in names])
    infected = np.array([truth[groups == name].any() for name in names])
    level, sensitivity, specificity = _at_specificity(mean, infected)
    slices: Figures = {
        "slices": len(said),
        "AUC": _auc(truth, said),
        "AUC, 95 % interval": list(bootstrap_interval(lambda k: roc_auc(truth[k], said[k]), groups)),
        "AUC of each fold": aucs,
        "ECE": expected_calibration_error(said, truth),
        "Brier score": brier_score(said, truth),
    }
    by_group: Figures = {
        "groups": len(names),
        "AUC": _auc(infected, mean),
        "AUC, 95 % interval": list(bootstrap_interval(lambda k: roc_auc(infected[k], mean[k]), names)),
        f"sensitivity at specificity {specificity:.3f} (mean probability above {level:.3f})": sensitivity,
        "sensitivity at 0.5": float((mean[infected] > 0.5).mean()),
        "specificity at 0.5": float((mean[~infected] <= 0.5).mean()),
        "ECE": expected_calibration_error(mean, infected),
        "Brier score": brier_score(mean, infected),
    }
    return [Result(FOLDED, f"{protocol}; slices", slices), Result(FOLDED, f"{protocol}; groups", by_group)]


def _auc(truth: NDArray[np.bool_], score: NDArray[Any]) -> float:
    found = roc_auc(truth, score)
    return float("nan") if found is None else found


def _at_specificity(score: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The lowest level with at least `WANTED_SPECIFICITY`, and sensitivity and specificity there."""
    for level in np.unique(score):
        if (specificity := float((score[~positive] <= level).mean())) >= WANTED_SPECIFICITY:
            return float(level), float((score[positive] > level).mean()), specificity
    return float("inf"), 0.0, 1.0


def left_out(place: Place) -> list[Result]:
    """Each source, judged by a segmenter that saw nothing of it; the reading is chosen on another source."""
    runs = {f"empty-{empty}": left_out_config(empty, place) for empty in sorted(set(LEFT_OUT.values()))}
    train_missing(runs, place)
    results = []
    for source, empty in LEFT_OUT.items():
        name = f"empty-{empty}"
        config = runs[name]
        known = _slices_of(empty, config, place).split("val")
        chosen = best_reading(outlined(name, config, known, place), known)
        results.append(_left_out(source, name, config, chosen, place))
    return results


def _left_out(source: str, name: str, config: TrainConfig, reading: str, place: Place) -> Result:
    slices = _slices_of(source, config, place)
    marks = outlined(name, config, slices, place)
    truth = slices.infected == 1
    score = READINGS[reading](marks, slices.lung_masks)
    groups = np.array([record.group for record in slices.records])
    figures: Figures = {
        "slices": len(slices),
        "reading": reading,
        "AUC": _auc(truth, score),
        "AUC, 95 % interval": list(bootstrap_interval(lambda k: roc_auc(truth[k], score[k]), groups)),
    }
    for other, read in READINGS.items():
        figures[f"AUC by {other}"] = _auc(truth, read(marks, slices.lung_masks))
    empty = slices.mask_kinds == EMPTY_MASK
    if empty.any():  # the uninfected figures of ucsd-covid-ct show other disease
        share = marked_share(marks[empty], slices.lung_masks[empty], 0.5)
        limit = FALSELY_MARKED_SHARE - LEAST_BURDEN  # as the share holds the latter
        figures[f"uninfected slices with more than {100 * limit:.1f} % of the lungs marked"] = float(
            (share > FALSELY_MARKED_SHARE).mean()
        )
    return Result(source, f"left out; empty masks of {name.removeprefix('empty-')}", figures)


PROTOCOLS = {"folds": five_folds, "left-out": left_out}


def as_markdown(results: Iterable[Result]) -> str:
    """The figures as a table."""
    lines = [
        "# On patients and sources that nothing was trained on", "",
        "Made by `python experiments/generalisation.py folds left-out --data DIR --imagenet FILE`; raw figures in",
        "`generalisation.json`. These are no figures of the default weights: each row is of segmenters trained for it,",
        "from ImageNet's VGG-16, by the configs in `configs/generalisation`. Intervals: bootstrap by group. How marks",
        "are read as one number was chosen on a source that is not left out, or on the validation fold.", "",
        "| source | protocol | figure | value |", "|---|---|---|---|",
    ]  # fmt: skip
    for result in results:
        for name, value in result.figures.items():
            lines.append(f"| `{result.source}` | {result.protocol} | {name} | {_shown(value)} |")
    return "\n".join(lines) + "\n"


def _shown(value: float | str | Sequence[float]) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value) if isinstance(value, (int, str)) else ", ".join(f"{one:.3f}" for one in value)


def generalise(wanted: Iterable[str], place: Place, docs: Path) -> None:
    """Make the protocols that are wanted, keep the figures of the others, and write the two files."""
    made = {name: [vars(result) for result in PROTOCOLS[name](place)] for name in wanted}
    target = docs / "generalisation.json"
    # Read after the hours that this takes: another run may have written the other protocol meanwhile.
    kept = (json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}) | made
    docs.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    results = [Result(**each) for name in PROTOCOLS for each in kept.get(name, [])]
    (docs / "generalisation.md").write_text(as_markdown(results), encoding="utf-8")


def main() -> int:
    """Parse, train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=sorted(PROTOCOLS))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--imagenet", type=Path, required=True, help="torchvision-shaped ImageNet VGG-16 weights")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "generalisation")
    parser.add_argument("--workers", type=int, default=1, help="trainings side by side")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        generalise(given.what, Place(given.data, given.output, given.imagenet, given.workers), ROOT / "docs")
    except JcsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
