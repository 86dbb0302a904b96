"""Cases of any number of slices, as DICOM files, made from the real studies below `dicom` of the data folder."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import generate_uid

from jcs_ct import Diagnoser, read_study
from jcs_ct.diagnosis.cross_check import MARKED_SHARE

EXTENT_MM = 300.0
"""Extent of a case along the patient in mm, for any number of slices."""


class Case(StrEnum):
    """Content of a case."""

    INFECTED = "infected"
    """`ricord-001012`: a positive patient, JPEG Lossless."""
    UNINFECTED = "uninfected"
    """Of the uninfected patient `lung-pet-ct-dx-A0002`, the slices on which neither network finds anything (the others
    show a tumour and a full stomach); not compressed."""


SOURCES = {Case.INFECTED: "ricord-001012", Case.UNINFECTED: "lung-pet-ct-dx-A0002"}


def write_case(data: Path, case: Case, folder: Path, slices: int, infected_share: float | None = None) -> None:
    """Write `slices` DICOM files, evenly over a chest, from the slices of a series in their order along the patient.

    Args:
        data: holds `dicom`.
        case: what they are made from.
        folder: where to; must not be there.
        slices: how many.
        infected_share: of the slices, those that are made from slices called infected, the rest from slices on which
            neither network finds anything; as it comes if None.
    """
    source = data / "dicom" / SOURCES[case]
    paths = _in_order(source)
    if case is Case.UNINFECTED:
        infected_share = 0.0
    if infected_share is None:
        chosen = _evenly(np.arange(len(paths)), slices)
    else:
        infected, clear = (np.flatnonzero(kind) for kind in _called(source))
        wanted = round(infected_share * slices)
        ill, well = _evenly(infected, wanted), _evenly(clear, slices - wanted)
        chosen = np.sort(np.concatenate([ill, well]))
    write_series([paths[index] for index in chosen], folder)


def _in_order(source: Path) -> list[Path]:
    return sorted(source.rglob("*.dcm"), key=_height)


def _height(path: Path) -> float:
    return float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


@cache
def _called(source: Path) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Which slices, in their order along the patient, are called infected, and on which nothing at all is found."""
    found = Diagnoser().run(read_study(source)).slices
    infected = tuple(one.infected is True for one in found)
    marked = [(one.lesion_share or 0.0) > MARKED_SHARE for one in found]
    return infected, tuple(not (ill or shown) for ill, shown in zip(infected, marked, strict=True))


def _evenly(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if not len(indices) and count:
        raise ValueError("the series has no slice of the wanted kind")
    places = np.linspace(0, len(indices) - 1, count).round().astype(np.int64)
    return np.asarray(indices[places], np.int64)


def write_series(paths: Sequence[Path], folder: Path) -> None:
    """Write a series of DICOM files that are given in their order along the patient, evenly over a chest."""
    series = generate_uid()
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        dataset = dcmread(path)
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, number * EXTENT_MM / len(paths)]
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"{number:04d}")
