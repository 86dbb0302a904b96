"""The lung network's training: batches, orientations, and a run from the first step to the exported network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jcs_ct.datasets.whole_slices import WholeSlices, prepare_whole
from jcs_ct.engine import Network
from jcs_ct.errors import DataError
from jcs_ct.models.registry import lungs
from jcs_ct.training.config import AugmentSettings, BatchGroup, TrainConfig
from jcs_ct.training.export import ship
from jcs_ct.training.files import RunPaths
from jcs_ct.training.lungs import LungBatches, LungTask, lung_batch, oriented
from jcs_ct.training.run import train

SIDE = 64
GROUPS = (BatchGroup(2, ("coronacases-masks",)),)


def config(**changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "task": "lungs", "batch": GROUPS, "steps": 2, "input_size": (SIDE, SIDE), "validate_every": 2,
        "augment": AugmentSettings(flip=False),
    }  # fmt: skip
    return TrainConfig(**(settings | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(mini_data: Path) -> WholeSlices:
    return prepare_whole(["coronacases-masks"], mini_data, SIDE)


def test_the_eight_orientations_of_a_slice_are_all_different() -> None:
    image = torch.rand(1, 5, 5)
    found = [oriented(image, k) for k in range(8)]
    assert torch.equal(found[0], image)
    assert all(not torch.equal(a, b) for k, a in enumerate(found) for b in found[:k])


def test_batches_are_a_function_of_seed_and_step(whole: WholeSlices) -> None:
    slices = whole.split("train")
    all_of_them = [batch["image"] for batch in LungBatches(slices, GROUPS, 1, 4)]
    later = [batch["image"] for batch in LungBatches(slices, GROUPS, 1, 4, start=2)]
    assert all(torch.equal(a, b) for a, b in zip(all_of_them[2:], later, strict=True))


def test_a_source_without_lung_masks_is_a_data_error(whole: WholeSlices) -> None:
    with pytest.raises(DataError, match="sars-cov-2-ct: found no training slices with lung masks"):
        LungBatches(whole, (BatchGroup(1, ("sars-cov-2-ct",)),), 0, 1)


def test_augmented_lungs_stay_on_the_picture_and_apart(whole: WholeSlices) -> None:
    task = LungTask(lungs("default"), config())
    batch = task.augmented(lung_batch(whole, np.arange(4)), torch.Generator().manual_seed(0))
    assert batch["image"].shape == (4, 1, SIDE, SIDE)
    assert batch["lungs"].shape == (4, 2, SIDE, SIDE)
    assert float((batch["lungs"][:, 0] * batch["lungs"][:, 1]).max()) < 0.5
    assert ((batch["orientation"] >= 0) & (batch["orientation"] < 8)).all()


@pytest.mark.slow
def test_a_run_ends_in_a_network_that_the_engine_runs(paths: RunPaths, tmp_path: Path) -> None:
    weights = train(config(), paths, "cpu")
    assert weights.name == "lungs.safetensors"
    manifest = json.loads(ship({"lungs": paths.output}, tmp_path / "weights").read_text(encoding="utf-8"))
    assert manifest["networks"]["lungs"]["input_size"] == [SIDE, SIDE]
    network = Network(tmp_path / "weights" / "lungs.onnx")
    (outputs,) = list(network.run(np.zeros((1, SIDE, SIDE), np.uint8)))
    assert [part.shape for part in outputs] == [(1, 2, SIDE, SIDE), (1, 8)]
