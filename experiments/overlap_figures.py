"""Measure the search for near-identical slices on public data, where the answer is known.

    python experiments/overlap_figures.py --data ../shared/data [--cache runs/cache]

Writes docs/overlap.json: similarity of slices of different patients, of identical slices, and of copies.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jcs_ct.datasets.overlap import ALIKE, alike, thumbnails
from jcs_ct.datasets.prepared import PreparedSlices, prepare, prepare_records
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source

ROOT = Path(__file__).resolve().parents[1]
SIZE = (192, 256)
OTHERS = ("coronacases", "covid-19-ct100", "mosmed-slices", "sars-cov-2-ct", "ucsd-covid-ct")
COPIED = "sars-cov-2-ct"
LOW = 0.5
"""Only pairs that correlate above this are listed, enough to find the highest."""


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "overlap.json")
    arguments = parser.parse_args()
    slices = {name: prepare([name], arguments.data, SIZE, arguments.cache) for name in (*OTHERS, "covid-semiseg")}
    thumbs = {name: thumbnails(one) for name, one in slices.items()}
    figures = {
        "threshold": ALIKE,
        "different_patients": _strangers(slices, thumbs),
        "neighbours_in_a_scan": _neighbours(slices["coronacases"], thumbs["coronacases"]),
        "covid_semiseg_in_covid_19_ct100": _same(thumbs["covid-19-ct100"], thumbs["covid-semiseg"]),
        "copies_found": {name: _found(change, arguments.data) for name, change in COPIES.items()},
    }
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


def _strangers(slices: dict[str, PreparedSlices], thumbs: dict[str, NDArray[np.float32]]) -> dict[str, float | int]:
    """Pairs of slices of different sources, and of mosmed-slices, which has one slice a patient, among themselves.

    Pictures of ucsd-covid-ct and covid-19-ct100 may show the same patients, so they are not compared.
    """
    pairs, highest = 0, -1.0
    for index, first in enumerate(OTHERS):
        for second in OTHERS[index:]:
            if {first, second} == {"ucsd-covid-ct", "covid-19-ct100"}:
                continue
            if first == second:
                if first != "mosmed-slices":
                    continue
                count = len(slices[first])
                pairs += count * (count - 1) // 2
                found = [p for p in alike(thumbs[first], thumbs[first], LOW) if p.first < p.second]
            else:
                pairs += len(slices[first]) * len(slices[second])
                found = alike(thumbs[first], thumbs[second], LOW)
            highest = max([highest, *(p.correlation for p in found)])
    return {"pairs": pairs, "highest_correlation": round(highest, 3)}


def _neighbours(slices: PreparedSlices, thumbs: NDArray[np.float32]) -> dict[str, float | int]:
    """Neighbouring slices of one scan."""
    names = [(record.group, record.path.name) for record in slices.records]
    order = sorted(range(len(names)), key=names.__getitem__)
    values = [
        alike(thumbs[[one]], thumbs[[other]], -1.0)[0].correlation
        for one, other in pairwise(order)
        if names[one][0] == names[other][0]
    ]
    return {"pairs": len(values), "median_correlation": round(float(np.median(values)), 3)}


def _same(first: NDArray[np.float32], second: NDArray[np.float32]) -> dict[str, int]:
    """Number of the first slices that are found among the second, which has them all, turned and cropped."""
    return {"slices": len(first), "found": len({pair.first for pair in alike(first, second)})}


def _jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return Image.open(stream)


def _half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)


def _window(image: Image.Image) -> Image.Image:
    """The slice under a window of two thirds of the width, its centre a tenth lower."""
    grey = np.asarray(image, np.float32)
    return Image.fromarray(np.clip((grey - 127.5) * 1.5 + 127.5 + 25.5, 0, 255).astype(np.uint8))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG quality 30": _jpeg, "half the size": _half, "another window": _window
}  # fmt: skip


def _found(change: Callable[[Image.Image], Image.Image], data: Path) -> dict[str, int]:
    """Number of slices that are still similar to themselves after a change."""
    records = read_source(COPIED, data)
    with TemporaryDirectory() as folder:
        copies = [_copy(record, Path(folder) / f"{k:05d}.png", change) for k, record in enumerate(records)]
        both = [thumbnails(prepare_records(each, SIZE)) for each in (records, copies)]
    pairs = [alike(one[None], other[None]) for one, other in zip(*both, strict=True)]
    return {"slices": len(records), "found": sum(bool(found) for found in pairs)}


def _copy(record: SliceRecord, path: Path, change: Callable[[Image.Image], Image.Image]) -> SliceRecord:
    with Image.open(record.path) as image:
        change(image.convert("L")).save(path)
    return replace(record, path=path)


if __name__ == "__main__":
    main()
