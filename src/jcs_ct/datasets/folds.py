"""Cross-validation: the slices of one source dealt anew into train, val and test, whole groups at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError, UsageError

_WRITTEN = re.compile(r"(?P<source>.+):(?P<number>\d+)of(?P<count>\d+)")


@dataclass(frozen=True)
class Fold:
    """One part of a source is tested on, the next one chooses the checkpoint, the others are trained on."""

    source: str
    number: int
    """1 to `count`."""
    count: int

    def __post_init__(self) -> None:
        if self.count < 3 or not 1 <= self.number <= self.count:
            raise UsageError(
                f"found fold {self.number} of {self.count}, expected at least three folds and one of their numbers: "
                "one is tested on, one validates, the others train"
            )

    @classmethod
    def parse(cls, text: str) -> Fold:
        """From `SOURCE:KofN`, as in `sars-cov-2-ct:1of5`.

        Raises:
            UsageError: it is written otherwise.
        """
        if (found := _WRITTEN.fullmatch(text)) is None:
            raise UsageError(f"found fold {text!r}, expected SOURCE:KofN, as in sars-cov-2-ct:1of5")
        return cls(found["source"], int(found["number"]), int(found["count"]))


def refolded(records: Sequence[SliceRecord], fold: Fold) -> list[SliceRecord]:
    """Records with the splits of a fold; those of other sources keep theirs.

    Folds hold groups of both labels alike, and are the same whenever the records are (scikit-learn's
    `StratifiedGroupKFold`).

    Raises:
        DataError: the source has fewer groups than folds, or is not among the records.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    # Here and not at the top: scikit-learn is of an extra, and only folds need it.
    from sklearn.model_selection import StratifiedGroupKFold

    own = [place for place, record in enumerate(records) if record.source == fold.source]
    groups = np.array([records[place].group for place in own])
    if len(np.unique(groups)) < fold.count:
        raise DataError(
            f"{fold.source}: found {len(np.unique(groups))} patients or groups, expected at least {fold.count} for as "
            "many folds"
        )
    labels = np.array([str(records[place].infected) for place in own])
    dealer = StratifiedGroupKFold(fold.count, shuffle=True, random_state=0)
    parts = [held for _, held in dealer.split(own, labels, groups)]
    splits = np.full(len(own), "train", object)
    splits[parts[fold.number - 1]] = "test"
    splits[parts[fold.number % fold.count]] = "val"
    out = list(records)
    for place, split in zip(own, splits.tolist(), strict=True):
        out[place] = replace(records[place], split=split)
    return out
