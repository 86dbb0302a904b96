"""A data folder of phantoms in the layouts of public sources: small enough to train on within seconds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.phantoms import ChestPhantom, to_grey

SERIES = ("coronacases_001", "coronacases_002", "coronacases_003")
"""Series of three patients: to test, to train, to validate."""
SIZE = 96
"""Pixels a side."""
MASKED = ("000", "001", "002", "003", "050", "051", "006")
"""Slices of `covid-19-ct100`: four to train with, two that choose the checkpoint, one to test with."""
LABELLED = {"train": 3, "val": 2, "test": 1}
"""Slices of each class in `sars-cov-2-ct`, by split."""
ONE_A_PATIENT = ("study_1.png", "study_2.png", "study_38.png")
"""Slices of each class in `mosmed-slices`; the last is one for validation, as its name has it."""


def write_mini_data(folder: Path) -> Path:
    """Write `covid-19-ct100`, `sars-cov-2-ct`, `mosmed-slices`, `coronacases` and its masks below `folder`."""
    shape, spacing = (24, SIZE, SIZE), (4.0, 3.4, 3.4)
    infected = ChestPhantom.infected(shape=shape, spacing=spacing, noise=15.0)
    healthy = ChestPhantom.healthy(shape=shape, spacing=spacing, noise=15.0)
    sick_slices = [int(z) for z in np.flatnonzero(infected.lesion_mask.any((1, 2)))]
    _masked(folder / "covid-19-ct100", infected, sick_slices)
    _labelled(folder / "sars-cov-2-ct", infected, healthy, sick_slices)
    for label, phantom in (("covid", infected), ("non-covid", healthy)):
        for z, name in zip(sick_slices, ONE_A_PATIENT, strict=False):
            _save(folder / "mosmed-slices" / label / name, to_grey(phantom.hu[z], (-500.0, 1800.0)))
    _series(folder, infected, sick_slices)
    return folder


def _series(folder: Path, phantom: ChestPhantom, slices: Sequence[int]) -> None:
    """`coronacases`, stored on their side, with `coronacases-masks`; of each series one slice is empty."""
    rows, middle = [], len(slices) // 2
    for case in SERIES:
        for place, z in enumerate(
            [*slices[middle - 1 : middle + 1], int(np.flatnonzero(~phantom.lesion_mask.any((1, 2)))[8])]
        ):
            name, status = f"{place + 1:03d}", "masked" if place < 2 else "empty"
            masks = folder / "coronacases-masks" / case
            _save(folder / "coronacases" / case / f"{name}.jpg", np.rot90(to_grey(phantom.hu[z]), -1))
            _save(masks / f"{name}_lung.png", np.rot90(phantom.lung_mask[z].astype(np.uint8) * 255, -1))
            if status == "masked":
                _save(masks / f"{name}_infection.png", np.rot90(phantom.lesion_mask[z].astype(np.uint8) * 255, -1))
            rows.append({"case": case, "image": name, "status": status})
    _table(folder / "coronacases-masks" / "index.csv", rows)


def write_outlined(folder: Path, train: Sequence[str], test: Sequence[str]) -> None:
    """Write `covid-19-ct100` below `folder` with slices of these numbers."""
    infected = ChestPhantom.infected(shape=(24, SIZE, SIZE), spacing=(4.0, 3.4, 3.4), noise=15.0)
    sick = [int(z) for z in np.flatnonzero(infected.lesion_mask.any((1, 2)))]
    numbers = [*train, *test]
    _masked(folder / "covid-19-ct100", infected, [sick[k % len(sick)] for k in range(len(numbers))], numbers, test)


def _masked(
    folder: Path,
    phantom: ChestPhantom,
    slices: Sequence[int],
    numbers: Sequence[str] = MASKED,
    test: Sequence[str] = MASKED[-1:],
) -> None:
    rows = []
    for z, number in zip(slices, numbers, strict=False):
        _save(folder / "images" / f"{number}.png", to_grey(phantom.hu[z]))
        _save(folder / "masks" / f"{number}.png", phantom.lesion_mask[z].astype(np.uint8) * 255)
        rows.append({"slice": number, "split": "test" if number in test else "train"})
    _table(folder / "semiseg_split.csv", [*rows, {"slice": "099", "split": "unused"}])


def _labelled(folder: Path, infected: ChestPhantom, healthy: ChestPhantom, slices: Sequence[int]) -> None:
    rows = []
    splits = [split for split, count in LABELLED.items() for _ in range(count)]
    for label, phantom in (("covid", infected), ("non-covid", healthy)):
        for index, split in enumerate(splits):
            name = f"{label}/{index:04d}.png"
            _save(folder / name, to_grey(phantom.hu[slices[-1 - index]], (-600.0, 1200.0)))
            rows.append({"file": name, "label": label, "group": f"{label}{index}", "split": split})
    _table(folder / "split.csv", rows)


def _save(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def _table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
