"""A user's folder of phantoms: patients that look different, as pictures and as whole studies, with their table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tests.phantoms import ChestPhantom, to_grey, write_dicom_series, write_nifti

SHAPE, SPACING = (16, 112, 112), (10.0, 2.9, 2.9)
COLUMNS = ("path", "patient", "split", "infected", "mask")
VESSEL = -150


@lru_cache(maxsize=32)
def patient(seed: int, infected: bool) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """HU (Z, H, W) of a chest with vessels of its own, and the mask of its opacities."""
    make = ChestPhantom.infected if infected else ChestPhantom.healthy
    radii = tuple(np.random.default_rng(seed).uniform(0.9, 1.1, 3) * (85.0, 70.0, 48.0))
    phantom = make(shape=SHAPE, spacing=SPACING, noise=15.0, lung_radii_mm=radii)
    hu = phantom.hu.copy()
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), (1.5, 2.0, 2.0))
    hu[(noise > np.quantile(noise, 0.88)) & phantom.lung_mask & ~phantom.lesion_mask] = VESSEL
    return hu, phantom.lesion_mask


@dataclass
class Row:
    """One row of the table."""

    path: str
    patient: str
    split: str
    infected: str
    mask: str = ""


def picture(folder: Path, seed: int, infected: bool, split: str, number: int = 0, name: str | None = None) -> Row:
    """Write one slice of a patient, and its mask where there are opacities."""
    hu, lesions = patient(seed, infected)
    shown = np.flatnonzero(patient(seed, True)[1].any((1, 2)))
    index = int(shown[len(shown) // 2 + number])
    called = name or f"p{seed}-{number}"
    save(folder / "images" / f"{called}.png", to_grey(hu[index]))
    mask = ""
    if infected:
        mask = f"masks/{called}.png"
        save(folder / mask, lesions[index].astype(np.uint8) * 255)
    return Row(f"images/{called}.png", f"patient {seed}", split, str(int(infected)), mask)


def write_own(folder: Path) -> list[Row]:
    """A whole data set of pictures: two infected patients and two others in each split."""
    rows = []
    for k, split in enumerate(("train", "val", "test")):
        for j in range(2):
            rows += [picture(folder, 10 * k + j, True, split, number) for number in (0, 1)]
            rows.append(picture(folder, 10 * k + j + 5, False, split))
    write_table(folder, rows)
    return rows


def write_studies(folder: Path) -> list[Row]:
    """A whole data set of studies: NIfTI with masks, DICOM without opacities."""
    rows = []
    for k, split in enumerate(("train", "val", "test")):
        hu, lesions = patient(50 + k, True)
        folder.mkdir(parents=True, exist_ok=True)
        write_nifti(folder / f"ct{k}.nii.gz", hu, spacing=SPACING)
        write_nifti(folder / f"mask{k}.nii.gz", lesions.astype(np.uint8), spacing=SPACING)
        rows.append(Row(f"ct{k}.nii.gz", f"sick {k}", split, "1", f"mask{k}.nii.gz"))
        places = [10.0 * z for z in range(SHAPE[0])]
        write_dicom_series(folder / f"well{k}", patient(60 + k, False)[0], spacing=SPACING[1:], positions=places)
        rows.append(Row(f"well{k}", f"well {k}", split, "0"))
    write_table(folder, rows)
    return rows


def write_table(folder: Path, rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> None:
    with (folder / "slices.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([getattr(row, name) for name in columns] for row in rows)


def save(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
