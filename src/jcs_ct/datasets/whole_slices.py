"""Whole slices at a small size with readers' masks of both lungs, for the lung network."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jcs_ct import preprocessing
from jcs_ct.cores import parallel_map
from jcs_ct.datasets.normalized import read_grey
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import read_source
from jcs_ct.errors import DataError

LOG = logging.getLogger(__name__)
RIGHT, LEFT = 1, 2
"""Values of a lung mask: the patient's sides."""
MIN_PART = 0.02
"""A piece of a reader's mask smaller than this share of the whole follows the nearest lung."""


@dataclass
class WholeSlices:
    """Many slices as arrays; position k of each belongs to one slice."""

    images: NDArray[np.uint8]
    """(N, S, S): upright, 0..1 stored as 0..255."""
    lungs: NDArray[np.uint8]
    """(N, S, S): 0, RIGHT or LEFT."""
    lesions: NDArray[np.bool_]
    """(N, S, S): opacities that a reader outlined; empty where nobody did."""
    records: list[SliceRecord]

    def __len__(self) -> int:
        return len(self.images)

    def split(self, name: str) -> WholeSlices:
        """The slices of one split."""
        return self.subset(np.array([record.split == name for record in self.records], bool))

    def subset(self, chosen: NDArray[np.bool_]) -> WholeSlices:
        """The slices where (N,) is True."""
        records = [record for record, keep in zip(self.records, chosen, strict=True) if keep]
        return WholeSlices(self.images[chosen], self.lungs[chosen], self.lesions[chosen], records)


def prepare_whole(sources: Sequence[str], data: Path, side: int, cache: Path | None = None) -> WholeSlices:
    """All slices of the named sources that have a lung mask, from the cache where they are there already.

    Raises:
        DataError: a source is not as documented, has no lung masks, or one of its files cannot be read.
    """
    records = [r for name in sorted(set(sources)) for r in read_source(name, data) if r.lung_mask is not None]
    if not records:
        raise DataError(f"found no lung masks in {', '.join(sources)}; expected a source that has some")
    key = hashlib.sha256(repr([(r.source, r.path.parent.name, r.path.name, r.quarter_turns) for r in records]).encode())
    key.update(f"{side} {inspect.getsource(preprocessing)}".encode())
    stored = None if cache is None else cache / f"whole-{key.hexdigest()[:16]}.npz"
    if stored is not None and stored.exists():
        with np.load(stored) as found:
            return WholeSlices(found["images"], found["lungs"], found["lesions"], records)
    LOG.info("preparing %d whole slices of %s", len(records), ", ".join(sources))
    parts = parallel_map(partial(_prepare, side=side), records)
    images, lungs, lesions = (np.stack(column) for column in zip(*parts, strict=True))
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        np.savez(stored, images=images, lungs=lungs, lesions=lesions)
    return WholeSlices(images, lungs, lesions, records)


def _prepare(record: SliceRecord, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    grey = read_grey(record.path)
    image = record.upright(preprocessing.normalize_grey(grey[None], np.ones((1, *grey.shape), bool))[0])
    masks = []
    for path in (record.lung_mask, record.mask):
        mask = np.zeros(grey.shape, np.uint8) if path is None else read_grey(path)
        if mask.shape != grey.shape:
            raise DataError(f"{path}: found size {mask.shape}, expected {grey.shape} as of {record.path}")
        masks.append(preprocessing.fit_square(record.upright((mask > 0).astype(np.uint8) * 255), side) > 127)
    return preprocessing.fit_square(image, side), right_and_left(masks[0]), masks[1] & masks[0]


def right_and_left(lungs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W) mask of both lungs of an upright slice to 0, RIGHT and LEFT.

    The patient's right is on the picture's left. Two large pieces are the lungs; where they touch, or one is missing,
    the middle between the outermost columns divides.
    """
    labels, count = ndimage.label(lungs)
    if not count:
        return np.zeros(lungs.shape, np.uint8)
    columns = np.arange(lungs.shape[1])
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    reached = np.flatnonzero(lungs.any(0))
    middle = (reached[0] + reached[-1]) / 2
    out = np.where(columns[None] < middle, RIGHT, LEFT).astype(np.uint8) * lungs
    for place in np.flatnonzero(sizes >= MIN_PART * sizes.sum()).tolist():
        piece = labels == place + 1
        centre = float((piece.sum(0) * columns).sum() / sizes[place])
        width = np.flatnonzero(piece.any(0))
        if not width[0] < middle < width[-1] or sizes[place] < _BOTH * sizes.sum():
            out[piece] = RIGHT if centre < middle else LEFT
    return np.asarray(out)


_BOTH = 0.85
"""A piece across the middle that is at least this share of all is both lungs in one."""
