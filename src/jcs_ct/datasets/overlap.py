"""Slices that look the same on two sides of a split, whatever their file names, sizes, windows and orientations.

Slices are compared by what is fine in their lungs: the box around the lungs, reduced to a small square, less its own
blurred version, so that the outline that all chests share counts for little and vessels and opacities for much. Two
slices are alike if these correlate, in any of the eight ways that a square can be turned and mirrored.

The threshold comes from public slices (`experiments/overlap_figures.py`, docs/overlap.json). Among 10.8 million pairs
of slices of different patients (mosmed-slices, which has one slice a patient, with itself; and it, coronacases,
ucsd-covid-ct, sars-cov-2-ct and covid-19-ct100 with each other) the highest correlation is 0.84. Neighbours in one scan
of coronacases have 0.97 in the median, and of the 98 slices of covid-19-ct100, 82 have more than 0.9 with their rotated
crops in covid-semiseg. Of copies, 99 % are found after JPEG at quality 30, 98 % at half the size, 95 % under another
window.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import OverlapError
from jcs_ct.preprocessing import AIR_THRESHOLD, bounding_box
from jcs_ct.study.files import listing

LOG = logging.getLogger(__name__)
ALIKE = 0.9
"""Slices that correlate above this are near-identical; the module's docstring says why this much."""
SIDE = 32
"""Pixels of a thumbnail's side."""
BLUR = 2.0
"""Standard deviation in pixels of what is taken off a thumbnail."""
MIN_LUNG_SHARE = 0.05
"""A crop with less lung than this is compared as a whole: there is nothing to tell in two small specks."""
_AT_ONCE = 1024
"""Slices that are compared at once; bounds the memory."""
SHOWN_PAIRS = 40
_PANEL = (240, 320)

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Two slices that look the same."""

    first: int
    """Place of the slice among those that were compared."""
    second: int
    correlation: float


def thumbnails(slices: PreparedSlices) -> Float:
    """(N, SIDE, SIDE): fine structure of each slice's lungs."""
    out = np.empty((len(slices), SIDE, SIDE), np.float32)
    for index, (image, lung) in enumerate(zip(slices.images, slices.lung_masks, strict=True)):
        aerated = lung & (image < AIR_THRESHOLD * 255)  # drawn more alike in two copies than dense lung is
        box = bounding_box(aerated) if aerated.mean() >= MIN_LUNG_SHARE else None
        own = image if box is None else image[box.top : box.bottom, box.left : box.right]
        out[index] = np.asarray(Image.fromarray(own).resize((SIDE, SIDE), Image.Resampling.BOX))
    return out - ndimage.gaussian_filter(out, (0, BLUR, BLUR))


def alike(first: Float, second: Float, threshold: float = ALIKE) -> list[Pair]:
    """Pairs of thumbnails (N, S, S) and (M, S, S) that correlate above `threshold` in any orientation, best first."""
    pairs = []
    turned = [_unit(one) for one in _orientations(second)]
    reference = _unit(first)
    for start in range(0, len(reference), _AT_ONCE):
        part = reference[start : start + _AT_ONCE]
        best = np.full((len(part), len(second)), -1, np.float32)
        for one in turned:
            np.maximum(best, part @ one.T, out=best)
        pairs += [Pair(start + int(i), int(j), float(best[i, j])) for i, j in np.argwhere(best > threshold)]
    return sorted(pairs, key=lambda pair: -pair.correlation)


def _orientations(images: Float) -> Iterator[Float]:
    for turns in range(4):
        turned = np.rot90(images, turns, (1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _unit(images: Float) -> Float:
    """(N, S·S): mean 0 and length 1, so that products are correlations."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def pairs_across(slices: PreparedSlices) -> list[Pair]:
    """Pairs of near-identical slices in different splits, one of each being the user's own, best first.

    The splits of the public sources are taken as documented: what can be said of them is in docs/data.md.
    """
    thumbs = thumbnails(slices)
    split = np.array([record.split for record in slices.records])
    own = np.array([record.own for record in slices.records], bool)
    found = []
    for one, other in combinations(sorted(set(split)), 2):
        for mine in (True, False):  # own slices with all others, then public ones with own ones
            first = np.flatnonzero((split == one) & (own == mine))
            second = np.flatnonzero((split == other) & (own | mine))
            pairs = alike(thumbs[first], thumbs[second]) if len(first) and len(second) else []
            found += [Pair(int(first[p.first]), int(second[p.second]), p.correlation) for p in pairs]
    return sorted(found, key=lambda pair: -pair.correlation)


def refuse_overlap(slices: PreparedSlices, sheet: Path | None, allowed: bool) -> None:
    """Refuse own slices that look like slices of another split.

    Args:
        slices: of all splits and sources that take part.
        sheet: PNG to write the pairs to, side by side; its folder is made.
        allowed: the user knows the pairs and goes on: a warning in place of the refusal.

    Raises:
        OverlapError: there are such pairs.
    """
    if not any(record.own for record in slices.records) or not (pairs := pairs_across(slices)):
        return
    records = slices.records
    named = [
        f"{_shown(records[p.first])} and {_shown(records[p.second])} (correlation {p.correlation:.2f})" for p in pairs
    ]
    if sheet is not None:
        write_sheet(slices, pairs, sheet)
    where = "give --output to have them drawn side by side" if sheet is None else f"they are drawn in {sheet}"
    what = f"found {len(pairs)} pairs of near-identical slices in different splits: {listing(named)}; {where}"
    if not allowed:
        raise OverlapError(
            f"{what}; expected slices of other patients there: give both one patient's name, remove one of them, or, "
            "where they are different patients after all, go on with --allow-similar"
        )
    LOG.warning("%s; going on, as --allow-similar was given", what)


def _shown(record: SliceRecord) -> str:
    return f"{record.called} ({record.split})"


def write_sheet(slices: PreparedSlices, pairs: Sequence[Pair], path: Path) -> None:
    """Draw the first pairs side by side, one pair a row, as a PNG."""
    height, width = _PANEL
    shown = pairs[:SHOWN_PAIRS]
    line = 14
    sheet = Image.new("L", (2 * width, len(shown) * (height + line)))
    draw = ImageDraw.Draw(sheet)
    for row, pair in enumerate(shown):
        top = row * (height + line)
        for column, place in enumerate((pair.first, pair.second)):
            sheet.paste(Image.fromarray(slices.images[place]).resize((width, height)), (column * width, top + line))
            # The font that comes with Pillow knows Latin letters only.
            name = _shown(slices.records[place]).encode("ascii", "replace").decode()
            text = name if column else f"{pair.correlation:.2f}  {name}"
            draw.text((column * width + 4, top + 1), text[-52:], fill=255)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
