"""Diagnoses of real series whose lungs are found by a threshold and whose opacities are made up: quick, never empty.

What the networks would say of them is of no matter to the reports; that headers, positions and sizes are real is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study.dicom import read_dicom
from jcs_ct.study.files import Names
from jcs_ct.study.volume import Study
from tests.reports.conftest import diagnose

SERIES = ("ricord-001012", "lung-pet-ct-dx-A0002")


def diagnose_series(shared_data: Path, name: str, every: int = 1) -> Diagnosis:
    """Diagnose every so many-th slice of a series in shared/data/dicom."""
    folder = shared_data / "dicom" / name
    study = read_dicom(sorted(folder.glob("*.dcm"))[::every], Names(folder))
    lungs = _aerated(study)
    return diagnose(study, _made_up_opacities(lungs), lungs)


def _aerated(study: Study) -> NDArray[np.bool_]:
    """(Z, H, W): air that does not reach the border of its slice."""
    lungs = np.zeros(study.voxels.shape, bool)
    for z, hu in enumerate(study.voxels):
        air, _ = ndimage.label(hu < -500)
        border = np.unique(np.concatenate([air[0], air[-1], air[:, 0], air[:, -1]]))
        lungs[z] = ndimage.binary_opening((air > 0) & ~np.isin(air, border), iterations=2)
    return lungs


def _made_up_opacities(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Boxes within the lungs, a quarter and three quarters along both the patient's length and width."""
    boxes = np.zeros(lungs.shape, bool)
    count, height, width = lungs.shape
    for z in (count // 3, 2 * count // 3):
        for x in (width // 4, 3 * width // 4):
            boxes[z - 1 : z + 2, height // 3 : 2 * height // 3, x - width // 16 : x + width // 16] = True
    return boxes & lungs
