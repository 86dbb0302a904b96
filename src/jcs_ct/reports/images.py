"""PNG masks for inputs without geometry: one picture a slice, in that slice's own size and orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jcs_ct.cropped_volume import Volume
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study.volume import Study


def write_pngs(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write `lesions/NNN.png` (0 or 255) and `activation/NNN.png` (0..255).

    NNN is the slice's `index` in result.json. Only what the diagnosis holds is written; a picture laid over the input
    slice fits it pixel by pixel.
    """
    written = []
    if diagnosis.lesion_labels is not None:
        written += _write_stack(diagnosis.lesion_labels, diagnosis.study, folder / "lesions", binary=True)
    if diagnosis.activation is not None:
        written += _write_stack(diagnosis.activation, diagnosis.study, folder / "activation", binary=False)
    return written


def slice_as_stored(volume: Volume[Any], study: Study, index: int) -> NDArray[np.generic]:
    """Slice `index` of a canonical (Z, H, W) volume as its file stores it: own pixels only, own orientation, 2-D."""
    rows, columns = study.own_pixels(index)
    single = volume[index][None, rows, columns]  # (1, h, w)
    # Canonical axis 0 is stored axis axes[0]: the one of length 1 after the way back.
    return np.asarray(np.moveaxis(study.grid.to_stored(single), study.grid.axes[0], 0)[0])


def _write_stack(volume: Volume[Any], study: Study, folder: Path, *, binary: bool) -> list[Path]:
    folder.mkdir()
    digits = max(3, len(str(len(study) - 1)))
    written = []
    for index in range(len(study)):
        pixels = slice_as_stored(volume, study, index)
        pixels = np.where(pixels.astype(bool), 255, 0) if binary else pixels
        path = folder / f"{index:0{digits}d}.png"
        Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).save(path)
        written.append(path)
    return written
