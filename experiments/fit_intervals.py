"""Choose the thresholds that intervals of volumes are made with, and keep them in the weights' manifest.

    python experiments/fit_intervals.py --data ../shared/data --runs runs/reproduce --weights src/jcs_ct/weights

The default segmenter learned from every slice with masks that is not for testing: there it agrees with its reader more
than on new slices, and thresholds chosen there promise too much (90 % asked for, 46 % found on test slices). So each is
outlined by a segmenter that has not seen it: the five folds of `experiments/reproduce.py folds`, trained here if they
are not there yet. Those segmenters learned for a shorter time than the one that ships. What the thresholds are worth
for it is then measured on the test slices, once.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # as a script, only its own folder is on the path

from experiments.reproduction.folds import left_out  # noqa: E402
from experiments.reproduction.plan import JCS, PRESETS  # noqa: E402
from experiments.reproduction.runs import SOURCE, HeldOutSlice, Place  # noqa: E402

from jcs_ct.datasets.sources import read_source  # noqa: E402
from jcs_ct.diagnosis.pipeline import Diagnoser  # noqa: E402
from jcs_ct.errors import JcsError  # noqa: E402
from jcs_ct.evaluation import conformal  # noqa: E402
from jcs_ct.evaluation.conformal import AreaThresholds  # noqa: E402
from jcs_ct.trials import segmentation  # noqa: E402
from jcs_ct.weights import write_fitted  # noqa: E402

COVERAGE = 0.9


def thresholds(outlined: Sequence[tuple[NDArray[np.uint8], HeldOutSlice]], chosen: set[Path]) -> AreaThresholds:
    """The thresholds that hold the reader's area on nine of ten slices.

    Args:
        outlined: probability (H, W) as 0..255 of each slice, by a segmenter that was not trained on it.
        chosen: files of the slices that are not for testing.
    """
    levels = [
        conformal.matching_levels(conformal.area_above(values), int(one.truth.sum()))
        for values, one in outlined
        if one.record.path in chosen and one.truth.any()
    ]
    return conformal.fit_area_thresholds(np.array(levels), COVERAGE)


def main(arguments: list[str] | None = None) -> int:
    """Fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sources")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "reproduce", help="--output of reproduce.py")
    parser.add_argument("--weights", type=Path, required=True, help="folder whose manifest the thresholds go into")
    parser.add_argument("--imagenet", type=Path, default=None, help="as for reproduce.py, if folds are to be trained")
    parser.add_argument("--precision", default="32-true", help="as for reproduce.py")
    given = parser.parse_args(arguments)
    place = Place(given.data, given.runs, PRESETS["cpu"], given.imagenet, precision=given.precision)
    try:
        chosen = {record.path for record in read_source(SOURCE, given.data) if record.split != "test"}
        fitted = thresholds([pair for part in left_out(JCS, place) for pair in part], chosen)
        on = f"{SOURCE}, {len(chosen)} slices that are not for testing, by segmenters of five folds"
        write_fitted(given.weights, "segmenter", "area_thresholds", dataclasses.asdict(fitted), on)
        (trial,) = segmentation(Diagnoser(given.weights), given.data / SOURCE, "test", lambda _: None)
        measured = trial.figures["area_in_interval"]
        assert measured is not None  # the manifest holds thresholds now
        fitted = dataclasses.replace(fitted, measured=round(measured, 4))
        on += f"; measured on {trial.protocol.split(', ')[1]} of split test"
        write_fitted(given.weights, "segmenter", "area_thresholds", dataclasses.asdict(fitted), on)
    except JcsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{fitted.lower:g} and {fitted.upper:g}, {fitted.measured:.0%} on test slices; fitted on {on}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
