"""Batches of prepared slices as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import Dataset, IterableDataset

from jcs_ct.datasets.prepared import EMPTY_MASK, PSEUDO_MASK, READER_MASK, PreparedSlices
from jcs_ct.errors import DataError
from jcs_ct.training.config import BatchGroup

Batch = dict[str, Tensor]
_Patients = list[NDArray[np.int64]]
"""Positions of slices, patient by patient."""
_OUTLINED = (READER_MASK, EMPTY_MASK)


def to_batch(slices: PreparedSlices, chosen: NDArray[np.int64]) -> Batch:
    """Slices at positions `chosen` as tensors: image and mask (N, 1, H, W) in 0..1, label (N,), mask_kind (N,)."""
    return {
        "image": torch.from_numpy(slices.images[chosen])[:, None].float() / 255,
        "mask": torch.from_numpy(slices.masks[chosen])[:, None].float() / 255,
        "lung": torch.from_numpy(slices.lung_masks[chosen])[:, None],
        "label": torch.from_numpy(slices.infected[chosen]).long(),
        "mask_kind": torch.from_numpy(slices.mask_kinds[chosen]).long(),
    }


class GroupedBatches(IterableDataset[Batch]):
    """Endless batches, each made of the same groups, each group drawn from its sources alike.

    Of a source first the class is drawn, then the patient, then the slice: neighbours in a scan are near-copies, and a
    patient with many slices counts no more than others.

    Batch k is a function of the seed, k and the process's rank alone, so a resumed run sees what an uninterrupted one
    would have seen, and no two GPUs see the same.
    """

    def __init__(
        self, slices: PreparedSlices, groups: Sequence[BatchGroup], seed: int, steps: int, start: int = 0
    ) -> None:
        super().__init__()
        self.slices, self.seed, self.steps, self.start = slices, seed, steps, start
        self.pools = [(group.count, [self._pool(group, source) for source in group.sources]) for group in groups]

    def _pool(self, group: BatchGroup, source: str) -> list[_Patients]:
        """Positions that a group may draw from one source, by class, so that both are drawn alike."""
        slices = self.slices
        from_source = np.array([record.source == source for record in slices.records], bool)
        if group.pseudo:
            from_source &= slices.mask_kinds == PSEUDO_MASK
        if group.kind == "outlined":
            return self._non_empty([from_source & (slices.mask_kinds == kind) for kind in _OUTLINED], group, source)
        fits = {
            "any": from_source,
            "masked": from_source & (slices.mask_kinds == (PSEUDO_MASK if group.pseudo else READER_MASK)),
            "infected": from_source & (slices.infected == 1),
            "uninfected": from_source & (slices.mask_kinds == EMPTY_MASK),
        }[group.kind]
        return self._non_empty([fits & (slices.infected == label) for label in (0, 1)], group, source)

    def _non_empty(self, classes: list[NDArray[np.bool_]], group: BatchGroup, source: str) -> list[_Patients]:
        pools = [self._by_patient(np.flatnonzero(chosen)) for chosen in classes if chosen.any()]
        if not pools:
            raise DataError(f"no {group.kind} training slices in {source}")
        return pools

    def _by_patient(self, places: NDArray[np.int64]) -> _Patients:
        patients = np.array([self.slices.records[place].group for place in places.tolist()])
        return [places[patients == patient] for patient in np.unique(patients)]

    def __iter__(self) -> Iterator[Batch]:
        rank = distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
        for step in range(self.start, self.steps):
            random = np.random.default_rng((self.seed, step, rank) if rank else (self.seed, step))
            chosen: list[int] = []
            for count, sources in self.pools:
                for _ in range(count):
                    pools = sources[random.integers(len(sources))]
                    patients = pools[random.integers(len(pools))]
                    pool = patients[random.integers(len(patients))]
                    chosen.append(int(pool[random.integers(len(pool))]))
            yield to_batch(self.slices, np.array(chosen))


class FixedBatches(Dataset[Batch]):
    """Validation slices in fixed batches; each carries the number of its source."""

    def __init__(self, slices: PreparedSlices, size: int = 16) -> None:
        super().__init__()
        self.slices = slices
        names = sorted({record.source for record in slices.records})
        self.sources = np.array([names.index(record.source) for record in slices.records])
        self.parts = np.array_split(np.arange(len(slices)), max(1, -(-len(slices) // size)))

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Batch:
        part = self.parts[index]
        return {**to_batch(self.slices, part), "source": torch.from_numpy(self.sources[part])}
