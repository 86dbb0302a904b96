"""Cases of any number of slices, as DICOM files, made from the real studies below `dicom` of the data folder."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

from jcs_ct import Diagnoser, read_study

EXTENT_MM = 300.0
"""What the slices of a case reach over along the patient, however many they are."""


class Case(StrEnum):
    """What is in a case."""

    INFECTED = "infected"
    """`ricord-001012`: a positive patient, JPEG Lossless."""
    UNINFECTED = "uninfected"
    """Of the uninfected patient `lung-pet-ct-dx-A0002`, the slices that are called uninfected; not compressed."""


def write_case(data: Path, case: Case, folder: Path, slices: int) -> None:
    """Write `slices` DICOM files, evenly over a chest, from the slices of a series in their order along the patient."""
    source = data / "dicom" / ("ricord-001012" if case is Case.INFECTED else "lung-pet-ct-dx-A0002")
    paths = sorted(source.rglob("*.dcm"), key=_height)
    if case is Case.UNINFECTED:
        findings = Diagnoser().run(read_study(source)).slices
        paths = [path for path, finding in zip(paths, findings, strict=True) if not finding.infected]
    _write_evenly(paths, folder, slices)


def _height(path: Path) -> float:
    return float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def _write_evenly(paths: Sequence[Path], folder: Path, slices: int) -> None:
    series = generate_uid()
    folder.mkdir(parents=True)
    for number, index in enumerate(np.linspace(0, len(paths) - 1, slices).round().astype(int)):
        dataset = dcmread(paths[index])
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, number * EXTENT_MM / slices]
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"{number:04d}")
