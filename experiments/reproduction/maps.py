"""Figure 9: where activation maps look, by eye and in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from experiments.reproduction.figures import show
from experiments.reproduction.parts import Figure, Table, save
from experiments.reproduction.plan import EXPLAINED, MAPS, Preset
from experiments.reproduction.runs import HeldOutSlice, Reproduction, train_all, trained
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.datasets.prepared import PreparedSlices, prepare
from jcs_ct.evaluation.localisation import Localisation, localisation
from jcs_ct.evaluation.metrics import roc_auc
from jcs_ct.models import registry
from jcs_ct.models.activation_map import INFECTED
from jcs_ct.models.classifier import Classifier
from jcs_ct.training.batches import FixedBatches
from jcs_ct.training.files import load_weights

LABELLED = "sars-cov-2-ct"
"""Source whose test slices show what the map costs the decision."""
COLUMNS = 5
"""Number of slices in the picture."""


@dataclass(frozen=True)
class Explained:
    """One trained classifier on the test slices."""

    maps: tuple[NDArray[np.float32], ...]
    """(H, W) each, within the part of the slice that the network sees, not negative."""
    where: Localisation
    slice_auc: float


def figure_9(reproduction: Reproduction, slices: list[HeldOutSlice], folder: Path) -> tuple[Table, Figure]:
    """Train the missing classifiers, compare their maps with masks, and draw some."""
    labelled = prepare([LABELLED], reproduction.data, reproduction.preset.map_size, reproduction.cache).split("test")
    if reproduction.preset.slices is not None:
        few = np.linspace(0, len(labelled) - 1, 4 * reproduction.preset.slices).astype(int)
        labelled = labelled.subset(np.isin(np.arange(len(labelled)), few))
    found: dict[str, list[Explained]] = {system.key: [] for system in MAPS}
    runs = [(system, seed) for seed in reproduction.preset.seeds_of(MAPS[0]) for system in MAPS]
    train_all(runs, reproduction, "maps")
    for system, seed in runs:
        weights = trained(system, seed, reproduction) / "classifier.safetensors"
        found[system.key].append(_explained(weights, reproduction.preset, slices, labelled))
    return _table(found, reproduction, len(slices), len(labelled)), _picture(found, slices, folder)


@torch.inference_mode()
def _explained(weights: Path, preset: Preset, slices: list[HeldOutSlice], labelled: PreparedSlices) -> Explained:
    network = registry.classifier(preset.size).eval()
    load_weights(network, weights)
    maps = tuple(_map(network, one, preset.map_size) for one in slices)
    batches = FixedBatches(labelled)
    probability = torch.cat(
        [network(batches[k]["image"]).logits.softmax(1)[:, INFECTED] for k in range(len(batches))]
    ).numpy()
    auc = roc_auc(labelled.infected == 1, probability)
    masks = [one.truth[one.normal.box.inside(one.truth.shape)] for one in slices]
    return Explained(
        maps,
        localisation(maps, masks),
        float("nan") if auc is None else auc,
    )


def _map(network: Classifier, one: HeldOutSlice, size: tuple[int, int]) -> NDArray[np.float32]:
    crop = preprocessing.crop_resize(one.normal.image, one.normal.box, size)
    coarse = network(torch.from_numpy(crop.copy())[None, None].float() / 255).activation_map[0, 0].numpy()
    height, width = one.truth.shape
    return preprocessing.paste_back(coarse, one.normal.box, (height, width))[one.normal.box.inside(one.truth.shape)]


def _mean_and_spread(values: list[float], factor: float = 100, digits: int = 1) -> str:
    spread = f" ± {factor * np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * np.mean(values):.{digits}f}{spread}"


def _table(found: dict[str, list[Explained]], reproduction: Reproduction, count: int, labelled: int) -> Table:
    rows = []
    for system in MAPS:
        where = [each.where for each in found[system.key]]
        thresholds = sorted({f"{each.best[0]:g}" for each in where})
        rows.append(
            (
                system.label,
                _mean_and_spread([each.pointing_game for each in where]),
                _mean_and_spread([float(each.energy.mean()) for each in where]),
                _mean_and_spread([float(each.chance.mean()) for each in where]),
                _mean_and_spread([each.times_chance for each in where], 1, 2),
                f"{_mean_and_spread([each.best[1] for each in where])} (above {', '.join(thresholds)})",
                _mean_and_spread([each.slice_auc for each in found[system.key]], 1, 3),
            )
        )
    steps = (reproduction.preset.settings | reproduction.preset.classifier_settings)["steps"]
    batch = reproduction.preset.explained_factor * sum(group.count for group in EXPLAINED)
    protocol = (
        f"Classifiers trained alike but for what the row names, {steps} steps of {batch} slices of sars-cov-2-ct, "
        "mosmed-slices and covid-19-ct100, whose masks only L_seg looks at. Maps "
        f"on {count} test slices of the 50/48 split, within the part that the network sees; pointing game: share of "
        "slices whose strongest place lies in a lesion; energy: share of the map in lesions, and the share of the area "
        "that lesions take (chance); Dice of the map above the share of its largest value that is best for all slices "
        f"together, each seed's own. Slice AUC on {labelled} test slices of {LABELLED}. Mean over seeds ± their "
        f"standard deviation; precision {reproduction.precision}. The paper shows this figure without numbers."
    )
    head = ("training", "pointing game (%)", "energy (%)", "chance (%)", "times chance", "Dice (%)", "slice AUC")
    return Table("figure9", "Figure 9 in numbers: where activation maps look", protocol, head, rows)


def _picture(found: dict[str, list[Explained]], slices: list[HeldOutSlice], folder: Path) -> Figure:
    areas = np.array([one.truth.sum() for one in slices])
    chosen = np.argsort(areas)[np.linspace(0, len(areas) - 1, min(COLUMNS, len(areas))).astype(int)]
    figure, grid = plt.subplots(
        1 + len(MAPS), len(chosen), figsize=(2.2 * len(chosen), 1.7 * (1 + len(MAPS))), squeeze=False
    )
    for column, index in enumerate(chosen):
        show(grid[0, column], slices[index], None, "reader" if column == 0 else "")
        for row, system in enumerate(MAPS, start=1):
            axes, values = grid[row, column], found[system.key][0].maps[index]
            show(axes, slices[index], None, system.label if column == 0 else "")
            strength = values / max(float(values.max()), 1e-9)
            axes.imshow(strength, cmap="inferno", alpha=0.65 * strength, vmin=0, vmax=1)
    caption = (
        "Green: the reader's outline; glow: the activation map, divided by its largest value. Slices are chosen by the "
        "area of their opacities, evenly from the smallest to the largest; first seed."
    )
    return save(figure, folder, "figure9", "Figure 9: activation maps", caption)
