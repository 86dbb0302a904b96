"""Slices in the one form that networks see, decoded once and kept in a cache file."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jcs_ct import lungs, morphology, normalization, preprocessing
from jcs_ct.cores import parallel_map
from jcs_ct.datasets import normalized as normalized_form
from jcs_ct.datasets.normalized import normalized
from jcs_ct.datasets.own import files_of
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.datasets.sources import clean_when_uninfected, read_source
from jcs_ct.weights import read_manifest

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
class _Prepared:
    """One slice as the cache keeps it."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    lung: NDArray[np.bool_]
    place: int | None
    """Number of the slice in its study."""
    infected: bool | None
    outlined: bool
    """Whether its mask marks anything."""


def _prepare(record: SliceRecord, size: tuple[int, int]) -> list[_Prepared]:
    out = []
    for own, normal in normalized([record], size):
        mask = np.zeros(size, np.uint8)
        if normal.mask is not None:
            mask = preprocessing.crop_resize(normal.mask.astype(np.uint8) * 255, normal.box, size)
        lung = preprocessing.crop_resize(normal.lungs.astype(np.uint8) * 255, normal.box, size) > 127
        image = preprocessing.crop_resize(normal.image, normal.box, size)
        outlined = normal.mask is not None and bool(normal.mask.any())
        out.append(_Prepared(image, mask, lung, own.index, own.infected, outlined))
    return out


def prepare(sources: Sequence[str], data: Path, size: tuple[int, int], cache: Path | None = None) -> PreparedSlices:
    """All slices of the named sources in the one form, each source from the cache where it is there already.

    Raises:
        DataError: a source is not as documented, or one of its files cannot be read.
    """
    return joined([_source_slices(name, data, size, cache) for name in sorted(set(sources))])


def joined(parts: Sequence[PreparedSlices]) -> PreparedSlices:
    """Slices of several parts, one part after the other."""
    return PreparedSlices(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.masks for part in parts]),
        np.concatenate([part.mask_kinds for part in parts]),
        np.concatenate([part.lung_masks for part in parts]),
        np.concatenate([part.infected for part in parts]),
        [record for part in parts for record in part.records],
    )


def _source_slices(name: str, data: Path, size: tuple[int, int], cache: Path | None) -> PreparedSlices:
    records = read_source(name, data)
    stored = None if cache is None else cache / f"slices-{_key(records, size)}.npz"
    if stored is not None and stored.exists():
        with np.load(stored) as found:
            arrays = {column: found[column] for column in found.files}
    else:
        LOG.info("preparing %d pictures and studies of %s", len(records), name)
        arrays = _prepared_arrays(records, size)
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            partial_file = stored.with_suffix(f".{os.getpid()}.partial.npz")  # others may prepare the same
            np.savez(partial_file, allow_pickle=False, **arrays)
            partial_file.replace(stored)
    return _as_slices(records, arrays)


def prepare_records(records: Sequence[SliceRecord], size: tuple[int, int]) -> PreparedSlices:
    """Slices of these records in the one form, without a cache.

    Raises:
        DataError: one of their files cannot be read.
    """
    return _as_slices(records, _prepared_arrays(records, size))


def _key(records: Sequence[SliceRecord], size: tuple[int, int]) -> str:
    key = hashlib.sha256(
        repr(
            [
                (r.source, r.path.name, r.quarter_turns, r.mirrored, r.infected, r.mask is None, _state(r))
                for r in records
            ]
        ).encode()
    )
    key.update(repr(size).encode())
    ways = (preprocessing, morphology, lungs, normalization, normalized_form)
    for module in ways:  # another way of preparing is another cache
        key.update(inspect.getsource(module).encode())
    key.update(read_manifest()[lungs.LUNGS].exact.sha256.encode())
    return key.hexdigest()[:16]


def _state(record: SliceRecord) -> object:
    """What changes when own data are edited; the public sets do not change."""
    if not record.own:
        return None
    files = [file for path in (record.path, record.mask) if path is not None for file in files_of(path)]
    return (
        str(record.path),
        [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files],
    )


def _prepared_arrays(records: Sequence[SliceRecord], size: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Columns of all slices; `record` says which record each slice is of."""
    parts = parallel_map(partial(_prepare, size=size), records)
    flat = [one for part in parts for one in part]
    return {
        "images": np.stack([one.image for one in flat]),
        "masks": np.stack([one.mask for one in flat]),
        "lung_masks": np.stack([one.lung for one in flat]),
        "record": np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        "index": np.array([-1 if one.place is None else one.place for one in flat]),
        "infected": np.array([-1 if one.infected is None else int(one.infected) for one in flat], np.int8),
        "outlined": np.array([one.outlined for one in flat]),
    }


def _as_slices(records: Sequence[SliceRecord], arrays: dict[str, NDArray[Any]]) -> PreparedSlices:
    infected, labels = arrays["infected"], {1: True, 0: False, -1: None}
    own = [
        replace(records[place], index=None if index < 0 else index, infected=labels[label])
        for place, index, label in zip(*(arrays[n].tolist() for n in ("record", "index", "infected")), strict=True)
    ]
    kinds = np.array([READER_MASK if r.mask else NO_MASK for r in own], np.uint8)
    clean = np.array([clean_when_uninfected(r.source) for r in own], bool)
    kinds[(infected == 0) & clean] = EMPTY_MASK
    # On most slices of a whole study a reader outlines nothing.
    kinds[(kinds == READER_MASK) & ~arrays["outlined"] & np.array([r.own for r in own], bool)] = EMPTY_MASK
    return PreparedSlices(arrays["images"], arrays["masks"], kinds, arrays["lung_masks"], infected, own)
