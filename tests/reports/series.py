"""Diagnoses of phantoms that were written as DICOM and read back, so that results can be laid over the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study import read_study
from tests.phantoms import ChestPhantom, write_dicom_series, write_enhanced_dicom
from tests.reports.conftest import diagnose

PHANTOM = ChestPhantom.infected(shape=(24, 80, 96), spacing=(8.0, 4.2, 3.8))
PLACES = [8.0 * z for z in range(24)]
AXIAL = (1, 0, 0, 0, 1, 0)


@dataclass(frozen=True)
class Series:
    """A series on disk, its diagnosis, and the truth as stored."""

    paths: list[Path]
    diagnosis: Diagnosis
    lesions: NDArray[np.bool_]
    """(Z, rows, columns) in the order of `paths`, as stored; frames of the one file if it is an enhanced image."""
    lungs: NDArray[np.bool_]

    @property
    def uids(self) -> list[str]:
        return [str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for path in self.paths]


def axial_series(
    folder: Path, orientation: Sequence[float] = AXIAL, descending: bool = False, **options: Any
) -> Series:
    """An axial series whose rows and columns run as `orientation` says; `descending` writes the head first."""

    def stored(canonical: NDArray[Any]) -> NDArray[Any]:
        """Slices as stored, in the order of writing."""
        along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
        turned = canonical if abs(along_row[0]) == 1 else canonical.transpose(0, 2, 1)
        flips = [axis for axis, way in ((1, along_column), (2, along_row)) if way.sum() < 0]
        return np.flip(np.flip(turned, flips), 0) if descending else np.flip(turned, flips)

    normal = float(np.cross(orientation[:3], orientation[3:])[2])
    places = [place * normal for place in (PLACES[::-1] if descending else PLACES)]
    paths = write_dicom_series(
        folder, stored(PHANTOM.hu), orientation=orientation, positions=places, spacing=(4.2, 3.8)
        if abs(orientation[0]) == 1 else (3.8, 4.2), **options,
    )  # fmt: skip
    diagnosis = diagnose(read_study(folder), PHANTOM.lesion_mask, PHANTOM.lung_mask)
    return Series(paths, diagnosis, stored(PHANTOM.lesion_mask), stored(PHANTOM.lung_mask))


def sagittal_series(folder: Path) -> Series:
    """Sagittal slices, which are read but not judged; the masks are what something else may have found."""

    def stored(canonical: NDArray[Any]) -> NDArray[Any]:
        return np.flip(canonical, 0).transpose(2, 0, 1)  # (x, z downwards, y)

    paths = write_dicom_series(
        folder, stored(PHANTOM.hu), orientation=(0, 1, 0, 0, 0, -1), step=(1, 0, 0), spacing=(8.0, 4.2),
        positions=[3.8 * x for x in range(96)],
    )  # fmt: skip
    study = read_study(folder)
    # The normal of such slices points to the right, so the study starts at the left.
    diagnosis = diagnose(study, np.flip(stored(PHANTOM.lesion_mask), 0), np.flip(stored(PHANTOM.lung_mask), 0))
    return Series(paths, diagnosis, stored(PHANTOM.lesion_mask), stored(PHANTOM.lung_mask))


def enhanced_series(folder: Path) -> Series:
    """One enhanced image, the head first."""
    folder.mkdir()
    path = write_enhanced_dicom(folder / "enhanced.dcm", PHANTOM.hu[::-1], PLACES[::-1])
    diagnosis = diagnose(read_study(folder), PHANTOM.lesion_mask, PHANTOM.lung_mask)
    return Series([path], diagnosis, PHANTOM.lesion_mask[::-1], PHANTOM.lung_mask[::-1])
