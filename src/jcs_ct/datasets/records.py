"""What a data source says of one picture or one whole study, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    turned: bool = False
    """Whether the picture is stored with its two lungs one above the other."""
    own: bool = False
    """Whether a user's table names it, not one of the public sources."""
    line: int = 0
    """Line of the table that names it; 0 where there is no such table."""
    study: bool = False
    """Whether `path` is a whole study: a DICOM folder, a NIfTI file, a folder of pictures."""
    index: int | None = None
    """Which slice of the study, once it has been read."""
    composition: Path | None = None
    """Colour-mapped mask of the same size where a reader told kinds of opacity apart: (128, 0, 0) is ground glass,
    (0, 128, 0) consolidation."""

    @property
    def called(self) -> str:
        """How messages name it."""
        name = f"{self.source}, line {self.line}: {self.path.name}" if self.own else str(self.path)
        return name if self.index is None else f"{name}, slice {self.index + 1}"
