"""What a data source says of one picture or one whole study, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SliceRecord:
    """One labelled slice on disk, or one whole study whose slices are not told apart yet."""

    source: str
    path: Path
    split: str
    infected: bool | None
    """None where the source does not label it."""
    group: str
    """Patient, or what comes nearest to it."""
    mask: Path | None = None
    """Lesion mask of the same size, 0 and not 0: a picture, or NIfTI for a study."""
    quarter_turns: int = 0
    """Quarter turns counter-clockwise that set the stored picture upright."""
    mirrored: bool = False
    """Whether the turned picture then has to be mirrored left to right."""
    own: bool = False
    """Whether a user's table names it, not one of the public sources."""
    line: int = 0
    """Line of the table that names it; 0 where there is no such table."""
    study: bool = False
    """Whether `path` is a whole study: a DICOM folder, a NIfTI file, a folder of pictures."""
    index: int | None = None
    """Which slice of the study, once it has been read."""
    slice_labels: tuple[bool, ...] | None = None
    """Of a study whose slices are labelled one by one whether each is infected, from the head down."""
    lung_mask: Path | None = None
    """A reader's mask of both lungs of the same size, 0 and not 0."""
    composition: Path | None = None
    """Colour-mapped mask of the same size where a reader told kinds of opacity apart: (128, 0, 0) is ground glass,
    (0, 128, 0) consolidation."""

    def upright(self, image: NDArray[Any]) -> NDArray[Any]:
        """(H, W) as the file holds it to upright, the patient's right on the left."""
        turned = np.rot90(image, self.quarter_turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)

    @property
    def called(self) -> str:
        """How messages name it."""
        name = f"{self.source}, line {self.line}: {self.path.name}" if self.own else str(self.path)
        return name if self.index is None else f"{name}, slice {self.index + 1}"
