"""Batches: what is in them, and that a resumed run sees what an uninterrupted one would have seen."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from jcs_ct.datasets.prepared import EMPTY_MASK, NO_MASK, READER_MASK, PreparedSlices
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError
from jcs_ct.training.batches import FixedBatches, GroupedBatches, to_batch
from jcs_ct.training.config import BatchGroup

SPLITS = ("train", "train", "val", "test")


def slices_of(sources: dict[str, int], splits: tuple[str, ...] = SPLITS) -> PreparedSlices:
    """Slices whose grey level is their position; odd ones are infected and have a mask in source `a` only."""
    records = []
    for source, count in sources.items():
        for k in range(count):
            path = Path(f"{source}/{k}.png")
            records.append(SliceRecord(source, path, splits[(k // 2) % len(splits)], k % 2 == 1, f"{source}{k}"))
    total = len(records)
    infected = np.array([int(bool(r.infected)) for r in records], np.int8)
    reader = np.array([r.source == "a" for r in records]) & (infected == 1)
    kinds = np.where(reader, READER_MASK, np.where(infected == 0, EMPTY_MASK, NO_MASK)).astype(np.uint8)
    images = np.broadcast_to(np.arange(total, dtype=np.uint8)[:, None, None], (total, 4, 6)).copy()
    masks = (reader[:, None, None] * np.full((1, 4, 6), 255)).astype(np.uint8)
    return PreparedSlices(images, masks, kinds, np.ones((total, 4, 6), bool), infected, records)


def drawn(batches: GroupedBatches) -> list[list[int]]:
    """Positions that each batch holds."""
    return [(batch["image"][:, 0, 0, 0] * 255).round().int().tolist() for batch in batches]


GROUPS = (BatchGroup(2, ("a",), "masked"), BatchGroup(3, ("a", "b")))


def test_batches_are_a_function_of_seed_and_step() -> None:
    slices = slices_of({"a": 16, "b": 16}).split("train")
    whole = drawn(GroupedBatches(slices, GROUPS, seed=5, steps=12))
    assert drawn(GroupedBatches(slices, GROUPS, seed=5, steps=12)) == whole
    assert drawn(GroupedBatches(slices, GROUPS, seed=5, steps=12, start=7)) == whole[7:]
    assert drawn(GroupedBatches(slices, GROUPS, seed=6, steps=12)) != whole
    assert len(whole) == 12
    assert len({tuple(batch) for batch in whole}) > 6


def _note_what_a_rank_draws(rank: int, folder: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    batches = GroupedBatches(slices_of({"a": 16, "b": 16}).split("train"), GROUPS, seed=5, steps=12)
    (folder / f"{rank}.json").write_text(json.dumps(drawn(batches)), encoding="utf-8")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_no_two_processes_of_a_training_draw_the_same(tmp_path: Path) -> None:
    starter = multiprocessing.get_context("spawn")
    ranks = [starter.Process(target=_note_what_a_rank_draws, args=(rank, tmp_path)) for rank in (0, 1)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(120)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1))
    assert first == drawn(GroupedBatches(slices_of({"a": 16, "b": 16}).split("train"), GROUPS, seed=5, steps=12))
    assert sum(a == b for a, b in zip(first, second, strict=True)) <= 1


def test_only_what_is_given_is_drawn_and_that_is_one_split() -> None:
    everything = slices_of({"a": 40, "b": 40})
    allowed = {k for k, record in enumerate(everything.records) if record.split == "train"}
    found = {k for batch in drawn(GroupedBatches(everything.split("train"), GROUPS, 0, 100)) for k in batch}
    assert found <= allowed
    assert len(found) > 0.8 * len(allowed)


def test_groups_keep_their_size_source_and_kind() -> None:
    slices = slices_of({"a": 24, "b": 24}, ("train",))
    groups = (BatchGroup(2, ("a",), "masked"), BatchGroup(1, ("b",), "uninfected"), BatchGroup(2, ("b",), "infected"))
    for batch in GroupedBatches(slices, groups, seed=0, steps=20):
        assert batch["mask_kind"][:2].tolist() == [READER_MASK] * 2
        assert batch["mask_kind"][2].item() == EMPTY_MASK
        assert batch["label"].tolist() == [1, 1, 0, 1, 1]
        assert bool((batch["image"][2:] * 255 >= 24).all())


def test_classes_and_sources_are_drawn_alike_however_many_slices_they_have() -> None:
    slices = slices_of({"a": 8, "b": 80}, ("train",))
    positions = [k for batch in drawn(GroupedBatches(slices, (BatchGroup(8, ("a", "b")),), 0, 250)) for k in batch]
    share_a = np.mean([k < 8 for k in positions])
    share_infected = np.mean([k % 2 == 1 for k in positions])
    assert share_a == pytest.approx(0.5, abs=0.05)
    assert share_infected == pytest.approx(0.5, abs=0.05)


def test_a_group_without_slices_is_a_data_error() -> None:
    with pytest.raises(DataError, match="no masked training slices in b"):
        GroupedBatches(slices_of({"a": 8, "b": 8}), (BatchGroup(1, ("b",), "masked"),), 0, 1)


def test_a_batch_is_scaled_to_one() -> None:
    slices = slices_of({"a": 8})
    batch = to_batch(slices, np.array([3, 0]))
    assert batch["image"].shape == batch["mask"].shape == batch["lung"].shape == (2, 1, 4, 6)
    torch.testing.assert_close(batch["image"][0], torch.full((1, 4, 6), 3 / 255))
    assert set(batch["mask"].flatten().tolist()) == {0.0, 1.0}
    assert batch["label"].tolist() == [1, 0]


def test_validation_sees_every_slice_once_with_its_source() -> None:
    slices = slices_of({"b": 13, "a": 20}, ("val",))
    batches = FixedBatches(slices, size=8)
    seen = [batches[k] for k in range(len(batches))]
    assert max(len(batch["image"]) for batch in seen) <= 8
    positions = torch.cat([(batch["image"][:, 0, 0, 0] * 255).round() for batch in seen]).int().tolist()
    assert positions == list(range(33))
    assert Counter(torch.cat([batch["source"] for batch in seen]).tolist()) == {1: 13, 0: 20}  # in order of name
