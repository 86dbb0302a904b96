"""What benchmarks share: the form of their results, and the slices that they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct import preprocessing
from jcs_ct.datasets.normalized import NormalizedSlice
from jcs_ct.datasets.overlap import refuse_overlap
from jcs_ct.datasets.prepared import prepare
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import SOURCES, own_folder, read_source, sources_in
from jcs_ct.diagnosis.lung_regions import middle_column
from jcs_ct.diagnosis.slices import both_lungs, lesion_region
from jcs_ct.errors import DataError

CHECKED_SIZE = (160, 208)
"""What slices are brought to before they are compared with each other: five times a thumbnail's side."""

Step = Callable[[int], None]


@dataclass(frozen=True)
class BenchmarkResult:
    """Figures of one protocol on one source."""

    source: str
    protocol: str
    figures: dict[str, float | int | None]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals by group (patient, or what comes nearest)."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.source,
            "protocol": self.protocol,
            "figures": self.figures,
            "intervals_95": {name: list(interval) for name, interval in self.intervals.items()},
        }


def chosen_sources(data: Path, wanted: Iterable[str]) -> list[str]:
    """Those of the wanted sources that lie in `data`, or `data` itself, and the user's own."""
    found = [name for name in sources_in(data) if name in wanted or name not in SOURCES]
    if not found:
        raise DataError(
            f"{data}: found none of the sources {', '.join(wanted)}; expected a folder of that name, or own data with "
            "slices.csv"
        )
    return found


def sources_with(split: str, data: Path, wanted: Iterable[str]) -> list[str]:
    """As `chosen_sources`, without public ones that hold nothing of the split, unless there is no other."""
    found = chosen_sources(data, wanted)
    kept = [s for s in found if s not in SOURCES or any(r.split == split for r in read_source(s, data))]
    return kept or found


def check_own_data(data: Path, sheet: Path | None, allow_similar: bool) -> None:
    """Refuse own data whose splits share patients, files, or slices that look the same.

    What was trained on may not be known here, but figures of a split are worth nothing if the others show the same.

    Args:
        data: folder that holds data sources, or one of them.
        sheet: PNG to draw near-identical pairs on.
        allow_similar: warn of near-identical pairs only.

    Raises:
        OverlapError: the splits overlap.
        DataError: a table is not as documented, or a file cannot be read.
    """
    for source in sources_in(data):
        if own_folder(source, data) is not None and len({r.split for r in read_source(source, data)}) > 1:
            refuse_overlap(prepare([source], data, CHECKED_SIZE), sheet, allow_similar)


def of_split(source: str, data: Path, split: str) -> list[SliceRecord]:
    """Pictures and studies of one split; a DataError where there are none."""
    records = [record for record in read_source(source, data) if record.split == split]
    if not records:
        raise DataError(f"{source} has no slices in the split {split!r}")
    return records


def crop_and_region(one: NormalizedSlice, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """What a network of this input size sees of a slice, (h, w), and what every opacity on it reaches into."""
    reach = both_lungs(one.lungs, middle_column(one.lungs[None])) if one.lungs.any() else one.lungs
    return preprocessing.crop_resize(one.image, one.box, size), lesion_region(reach, one.box, size)


def mean_of(values: NDArray[Any], chosen: NDArray[np.int64]) -> float:
    """A figure for `metrics.bootstrap_interval`."""
    return float(values[chosen].mean())
