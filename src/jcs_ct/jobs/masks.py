"""The masks of a result, kept beside its reports, for those who show or correct it.

Reports hold masks only in part, in formats that a job may choose, and of pictures without the lungs. These are whole,
and lie on the voxels of the study as `read_study` gives it, also where a diagnosis has turned it upright.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study.volume import SourceGrid, Study

FILE = "masks.npz"
_NAMES = ("lesion_labels", "lung_mask", "activation")


@dataclass(frozen=True)
class Masks:
    """What a diagnosis holds of them, (Z, H, W) each; None where it holds none."""

    lesion_labels: NDArray[np.uint16] | None = None
    """0 or the id of the lesion in result.json."""
    lung_mask: NDArray[np.bool_] | None = None
    activation: NDArray[np.uint8] | None = None


def keep_masks(diagnosis: Diagnosis, study: Study, folder: Path) -> None:
    """Write the masks of a diagnosis of `study` (as it was read) into `folder`."""
    found = {name: getattr(diagnosis, name) for name in _NAMES}
    # Not numpy's own savez_compressed, whose level of compression takes seconds for nothing.
    with zipfile.ZipFile(folder / FILE, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in found.items():
            if array is not None:
                moved = np.ascontiguousarray(on_grid(np.asarray(array), diagnosis.study.grid, study.grid))
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, moved, allow_pickle=False)  # type: ignore[no-untyped-call]


def kept_masks(folder: Path) -> Masks:
    """Read what `keep_masks` wrote; none where it did not."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as archive:
            return Masks(**{name: archive[name] for name in _NAMES if name in archive})
    except FileNotFoundError:
        return Masks()


def on_grid(array: NDArray[np.generic], source: SourceGrid, target: SourceGrid) -> NDArray[np.generic]:
    """A canonical array of one reading of a study on the voxels of another (a view)."""
    return target.to_canonical(source.to_stored(array))
