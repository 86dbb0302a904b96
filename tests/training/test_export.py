"""Shipping trained networks: what made them goes with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jcs_ct.engine import Network
from jcs_ct.models import registry
from jcs_ct.training.config import BatchGroup
from jcs_ct.training.export import ship
from jcs_ct.training.files import RunPaths, save_weights
from jcs_ct.training.run import train
from jcs_ct.weights import file_sha256
from tests.training.conftest import INPUT_SIZE
from tests.training.test_run import MASKED, UNINFECTED, config_for


@pytest.fixture
def chain(paths: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A segmenter that started from one run's encoder and learned from another's masks; the folder of its run."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    Path("runs/encoder").mkdir(parents=True)
    save_weights(registry.segmenter("default").encoder, Path("runs/encoder/encoder.safetensors"))
    Path("runs/encoder/summary.json").write_text('{"seed": 0}')
    settings = config_for("segmenter", init={"encoder": "runs/encoder/encoder.safetensors"})
    train(settings, RunPaths(paths.data, Path("runs/first/segmenter")), "cpu")
    Path("runs/encoder/config.yaml").write_text(
        "task: encoder\nsteps: 1\ninit: {imagenet: runs/vgg16.safetensors}\n"
        "batch: [{count: 1, sources: [covid-19-ct100]}]\n"
    )
    pseudo = BatchGroup(1, ("sars-cov-2-ct",), "masked", pseudo=True)
    masks = "runs/first/segmenter/segmenter.safetensors"
    taught = replace(settings, batch=(MASKED, UNINFECTED, pseudo), pseudo_masks=masks)
    train(taught, RunPaths(paths.data, Path("runs/segmenter")), "cpu")
    return Path("runs/segmenter")


def test_what_ships_brings_config_log_and_checksums(chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    manifest = json.loads(ship({"segmenter": chain}, folder).read_text(encoding="utf-8"))["networks"]["segmenter"]
    assert manifest["safetensors_sha256"] == file_sha256(folder / "segmenter.safetensors")
    assert (folder / "segmenter.config.yaml").read_text() == (chain / "config.yaml").read_text()
    assert "val/score" in (folder / "segmenter.log.csv").read_text().splitlines()[0]
    assert Network(folder / "segmenter.onnx").input_size == INPUT_SIZE
