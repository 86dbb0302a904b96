"""Slices in the one form that networks see, decoded once and kept in a cache file."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jcs_ct import lungs, preprocessing
from jcs_ct.datasets.sources import SliceRecord, read_source
from jcs_ct.errors import DataError

LOG = logging.getLogger(__name__)
NO_MASK, READER_MASK, EMPTY_MASK, PSEUDO_MASK = 0, 1, 2, 3
"""Where a slice's mask comes from."""


@dataclass
class PreparedSlices:
    """Many slices as arrays; position k of each belongs to one slice."""

    images: NDArray[np.uint8]
    """(N, H, W), 0..1 stored as 0..255."""
    masks: NDArray[np.uint8]
    """(N, H, W), lesion probability stored as 0..255; 0 where there is no mask."""
    mask_kinds: NDArray[np.uint8]
    """(N): NO_MASK, READER_MASK, EMPTY_MASK or PSEUDO_MASK."""
    lung_masks: NDArray[np.bool_]
    """(N, H, W)."""
    infected: NDArray[np.int8]
    """(N): 1, 0, or -1 where unknown."""
    records: list[SliceRecord]

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, chosen: NDArray[np.bool_]) -> PreparedSlices:
        """The slices where (N,) is True."""
        return PreparedSlices(
            self.images[chosen],
            self.masks[chosen],
            self.mask_kinds[chosen],
            self.lung_masks[chosen],
            self.infected[chosen],
            [record for record, keep in zip(self.records, chosen, strict=True) if keep],
        )

    def split(self, name: str) -> PreparedSlices:
        """The slices of one split."""
        return self.subset(np.array([record.split == name for record in self.records], bool))

    def of_source(self, name: str) -> PreparedSlices:
        """The slices of one source."""
        return self.subset(np.array([record.source == name for record in self.records], bool))


@dataclass(frozen=True)
class NormalisedSlice:
    """One slice in the one form, still at its own resolution."""

    image: NDArray[np.uint8]
    """(H, W), upright."""
    lungs: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None
    box: preprocessing.Box


def normalise_slice(record: SliceRecord, input_size: tuple[int, int]) -> NormalisedSlice:
    """Decode one slice and bring it to the one form.

    Raises:
        DataError: image or mask missing, unreadable, or of different sizes.
    """
    grey = _grey(record.path)
    mask = None if record.mask is None else _grey(record.mask) > 0
    if mask is not None and mask.shape != grey.shape:
        raise DataError(f"{record.mask}: found size {mask.shape}, expected {grey.shape} as of {record.path}")
    inside = np.ones((1, *grey.shape), bool)
    image = preprocessing.normalise_grey(grey[None], inside)[0]
    lung = lungs.find_lungs(image[None])
    if record.turned:
        image, lung = np.rot90(image), np.rot90(lung, 1, (1, 2))
        mask = None if mask is None else np.rot90(mask)
    found = lungs.lung_box(lung, image[None]) or preprocessing.Box(0, image.shape[0], 0, image.shape[1])
    box = preprocessing.network_box(found, input_size)
    return NormalisedSlice(np.ascontiguousarray(image), lung[0], mask, box)


def _grey(path: Path) -> NDArray[np.uint8]:
    try:
        return np.asarray(Image.open(path).convert("L"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _prepare(
    record: SliceRecord, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    normal = normalise_slice(record, size)
    mask = np.zeros(size, np.uint8)
    if normal.mask is not None:
        mask = preprocessing.crop_resize(normal.mask.astype(np.uint8) * 255, normal.box, size)
    lung = preprocessing.crop_resize(normal.lungs.astype(np.uint8) * 255, normal.box, size) > 127
    return preprocessing.crop_resize(normal.image, normal.box, size), mask, lung


def prepare(sources: Sequence[str], data: Path, size: tuple[int, int], cache: Path | None = None) -> PreparedSlices:
    """All slices of the named sources in the one form, from the cache where they are there already."""
    records = [record for name in sorted(set(sources)) for record in read_source(name, data)]
    key = hashlib.sha256(repr([(r.source, r.path.name, r.turned) for r in records]).encode())
    key.update(repr(size).encode())
    for module in (preprocessing, lungs):  # another way of preparing is another cache
        key.update(inspect.getsource(module).encode())
    stored = None if cache is None else cache / f"slices-{key.hexdigest()[:16]}.npz"
    if stored is not None and stored.exists():
        with np.load(stored) as arrays:
            images, masks, lung_masks = arrays["images"], arrays["masks"], arrays["lung_masks"]
    else:
        LOG.info("preparing %d slices of %s", len(records), ", ".join(sources))
        with ProcessPoolExecutor(2) as pool:
            parts = list(pool.map(partial(_prepare, size=size), records, chunksize=16))
        images, masks, lung_masks = (np.stack(column) for column in zip(*parts, strict=True))
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            partial_file = stored.with_suffix(".partial.npz")
            np.savez(partial_file, images=images, masks=masks, lung_masks=lung_masks)
            partial_file.replace(stored)
    infected = np.array([-1 if r.infected is None else int(r.infected) for r in records], np.int8)
    kinds = np.array([READER_MASK if r.mask else NO_MASK for r in records], np.uint8)
    # The uninfected figures of papers show other lung disease, so only the other sources' have surely empty masks.
    clean = np.array([r.source != "ucsd-covid-ct" for r in records], bool)
    kinds[(infected == 0) & clean] = EMPTY_MASK
    return PreparedSlices(images, masks, kinds, lung_masks, infected, records)
