"""Whole training runs on phantoms: what they leave behind, what chooses the checkpoint, and how they resume."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.prepared import NO_MASK, PSEUDO_MASK, READER_MASK
from jcs_ct.datasets.sources import read_source
from jcs_ct.errors import UsageError, WeightsError
from jcs_ct.models import registry
from jcs_ct.models.segmenter import Segmenter
from jcs_ct.models.vgg import PAPER_WIDTHS, VGGEncoder
from jcs_ct.training.batches import Batch, to_batch
from jcs_ct.training.config import AugmentSettings, BatchGroup, TrainConfig, load_config
from jcs_ct.training.files import RunPaths, load_weights, save_weights
from jcs_ct.training.run import build_task, train
from jcs_ct.training.segmentation import SegmentationTask
from jcs_ct.training.slices import evenly, training_slices
from jcs_ct.training.task import Task
from tests.imagenet import write_imagenet
from tests.training.conftest import INPUT_SIZE

MASKED = BatchGroup(2, ("covid-19-ct100",), "masked")
UNINFECTED = BatchGroup(1, ("sars-cov-2-ct", "mosmed-slices"), "uninfected")
LABELLED = BatchGroup(2, ("sars-cov-2-ct", "mosmed-slices"))
GROUPS = {
    "segmenter": (MASKED, UNINFECTED),
    "classifier": (MASKED, LABELLED),
    "joint": (MASKED, UNINFECTED),
    "backbone": (LABELLED,),
}


def config_for(task: str, steps: int = 4, **settings: Any) -> TrainConfig:
    """A run of seconds."""
    return TrainConfig(
        task, GROUPS[task], steps, input_size=INPUT_SIZE, seed=3, validate_every=2, **settings
    )  # fmt: skip


def log_rows(output: Path) -> list[dict[str, str]]:
    """The CSV log of a run."""
    (log,) = output.glob("log/version_*/metrics.csv")
    with log.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def logged(output: Path, name: str) -> list[float]:
    """Values of one figure in the order of the log."""
    return [float(row[name]) for row in log_rows(output) if row.get(name)]


@pytest.fixture(scope="module")
def encoder_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder of the default width."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    save_weights(registry.segmenter("default").encoder, path)
    return path


@pytest.mark.parametrize("task", ["segmenter", "classifier", "joint", "backbone"])
def test_a_run_leaves_weights_config_log_and_summary(task: str, paths: RunPaths, encoder_weights: Path) -> None:
    settings: dict[str, Any] = {"map_weight": 1.0, "mixing": 0.5} if task in ("classifier", "joint") else {}
    if task == "classifier":
        settings |= {"lesion_weight": 1.0, "augment": AugmentSettings(domes=0.5, thick=0.5)}
    init = {"encoder": str(encoder_weights)} if task in ("segmenter", "backbone") else {}
    config = config_for(task, init=init, encoder_rate=1e-4, **settings)
    weights = train(config, paths, device="cpu")
    network = registry.classifier("default").backbone if task == "backbone" else registry.build(task)
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    load_weights(network, weights)
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    assert any(not torch.equal(fresh[key], value) for key, value in network.state_dict().items())
    assert load_config(paths.output / "config.yaml") == config
    summary = json.loads((paths.output / "summary.json").read_text(encoding="utf-8"))
    assert summary["kept_step"] in (2, 4)
    scores = logged(paths.output, summary["monitor"])
    assert len(scores) == 2
    assert np.isfinite(scores).all()
    assert summary["best"] == pytest.approx(min(scores) if task == "backbone" else max(scores))


def test_losses_are_logged_and_finite(paths: RunPaths) -> None:
    train(replace(config_for("joint", steps=10, map_weight=0.5), validate_every=10), paths, device="cpu")
    for name in ("train/loss", "train/class", "train/map", "train/mask"):
        values = logged(paths.output, name)
        assert values, name
        assert np.isfinite(values).all()
        assert min(values) >= 0


class _PowerFailureError(Exception):
    """Ends a run in the middle."""


class _Stopper:
    """Stands in for a task's training step and fails at a step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.original = Task.training_step

    def __call__(self, task: Task, batch: Batch, batch_idx: int) -> Tensor:
        if task.global_step == self.step:
            raise _PowerFailureError
        return self.original(task, batch, batch_idx)


@pytest.mark.parametrize("task", ["segmenter", "classifier"])
@pytest.mark.parametrize("ema", [0.9, None])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    task: str, ema: float | None, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(task, steps=6, ema=ema, mixing=0.5 if task == "classifier" else 0.0)
    whole = replace(paths, output=paths.output.with_name("whole"))
    train(config, whole, device="cpu")
    stopper = _Stopper(5)  # the last checkpoint is of step 4
    with monkeypatch.context() as patched:
        patched.setattr(Task, "training_step", lambda task, batch, batch_idx: stopper(task, batch, batch_idx))
        with pytest.raises(_PowerFailureError):
            train(config, paths, device="cpu")
    assert not list(paths.output.glob("*.safetensors"))
    train(config, paths, device="cpu", resume=True)
    for name in ("state_dict", "current_model_state") if ema else ("state_dict",):
        states = [_checkpoint(p.output, "last")[name] for p in (whole, paths)]
        assert states[0].keys() == states[1].keys()
        for key, expected in states[0].items():
            torch.testing.assert_close(states[1][key], expected, rtol=1e-5, atol=1e-6, msg=key)
    summaries = [json.loads((p.output / "summary.json").read_text(encoding="utf-8")) for p in (whole, paths)]
    assert summaries[0]["kept_step"] == summaries[1]["kept_step"]
    assert summaries[0]["best"] == pytest.approx(summaries[1]["best"])
    ends = [load_file(p.output / f"{task}.safetensors") for p in (whole, paths)]
    for key, expected in ends[0].items():
        torch.testing.assert_close(ends[1][key].float(), expected.float(), rtol=1e-3, atol=1e-5, msg=key)


def _checkpoint(output: Path, name: str) -> dict[str, dict[str, Tensor]]:
    state: dict[str, dict[str, Tensor]] = torch.load(
        output / "checkpoints" / f"{name}.ckpt", weights_only=False, map_location="cpu"
    )
    return state


def test_the_last_checkpoint_is_kept_though_the_validation_got_worse(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    _score_by_step(monkeypatch, {2: 0.9, 4: 0.5})
    train(config_for("segmenter"), paths, device="cpu")
    steps = {name: torch.load(paths.output / "checkpoints" / f"{name}.ckpt", weights_only=False)["global_step"]
             for name in ("best", "last")}  # fmt: skip
    assert steps == {"best": 2, "last": 4}


@pytest.mark.parametrize(("scores", "best"), [({2: 0.9, 4: 0.5}, 2), ({2: 0.1, 4: 0.5}, 4)])
def test_the_validation_score_chooses_the_weights(
    scores: dict[int, float], best: int, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    _score_by_step(monkeypatch, scores)
    weights = load_file(train(config_for("segmenter", ema=None), paths, device="cpu"))
    summary = json.loads((paths.output / "summary.json").read_text(encoding="utf-8"))
    assert (summary["kept_step"], summary["best"]) == (best, pytest.approx(scores[best]))
    kept = _checkpoint(paths.output, "best")["state_dict"]
    for key, value in weights.items():
        torch.testing.assert_close(value.float(), kept[f"network.{key}"].float(), rtol=1e-3, atol=1e-6)


def _score_by_step(monkeypatch: pytest.MonkeyPatch, scores: dict[int, float]) -> None:
    """Let the validation find these scores at these steps."""

    def end(task: SegmentationTask) -> None:
        task.log("val/score", scores[task.global_step])

    monkeypatch.setattr(SegmentationTask, "on_validation_epoch_end", end)


def test_the_network_trains_in_training_mode_and_is_validated_in_evaluation_mode(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[tuple[str, bool]] = []

    def note(method: str) -> None:
        original = getattr(SegmentationTask, method)

        def noting(task: SegmentationTask, batch: Batch, batch_idx: int) -> Tensor | None:
            modes.extend((method, module.training) for module in task.network.modules())
            result: Tensor | None = original(task, batch, batch_idx)
            return result

        monkeypatch.setattr(SegmentationTask, method, noting)

    note("training_step")
    note("validation_step")
    train(config_for("segmenter"), paths, device="cpu")
    assert {training for method, training in modes if method == "training_step"} == {True}
    assert {training for method, training in modes if method == "validation_step"} == {False}


def test_only_training_slices_train_and_only_validation_slices_validate(paths: RunPaths) -> None:
    training, validation = training_slices(config_for("segmenter"), paths)
    assert {record.split for record in training.records} == {"train"}
    assert {record.split for record in validation.records} == {"val"}
    assert not {record.path for record in training.records} & {record.path for record in validation.records}


def test_validation_sources_can_be_chosen_and_slices_of_unknown_mask_are_left_out(paths: RunPaths) -> None:
    config = config_for("segmenter", validation=("covid-19-ct100", "sars-cov-2-ct"))
    _, validation = training_slices(config, paths)
    assert {record.source for record in validation.records} == {"covid-19-ct100", "sars-cov-2-ct"}
    assert not (validation.mask_kinds == NO_MASK).any()


def test_labels_teach_a_segmenter_where_masks_are_unknown(paths: RunPaths) -> None:
    config = replace(config_for("segmenter", burden_weight=1.0, prior=0.1), batch=(MASKED, LABELLED))
    training, validation = training_slices(config, paths)
    for slices in (training, validation):
        assert ((slices.mask_kinds == NO_MASK) & (slices.infected == 1)).any()
    task = build_task(config, training)
    batch = to_batch(training, np.flatnonzero(training.mask_kinds == NO_MASK)[:2])
    losses = task.losses(batch, torch.Generator())
    assert set(losses) == {"burden"}, "nothing is said of masks that nobody knows"
    masked = to_batch(training, np.flatnonzero(training.mask_kinds == READER_MASK)[:2])
    both = {name: torch.cat([batch[name], masked[name]]) for name in batch}
    task.eval()  # batch normalization would see other batches
    torch.testing.assert_close(
        task.losses(both, torch.Generator())["mask"], task.losses(masked, torch.Generator())["mask"]
    )
    train(config, paths, device="cpu")
    assert all(0 <= value <= 1 for value in logged(paths.output, "val/burden_auc"))


def test_side_outputs_start_at_the_prior(paths: RunPaths) -> None:
    config = config_for("segmenter", prior=0.1)
    task = build_task(config, training_slices(config, paths)[0])
    assert isinstance(task.network, Segmenter)
    biases = [bias for name, bias in task.network.decoder.named_parameters() if name.endswith("predict.bias")]
    torch.testing.assert_close(torch.sigmoid(torch.cat(tuple(biases))), torch.full((5,), 0.1))


@pytest.mark.parametrize("settings", [{"network": "unet"}, {"init": {"segmenter": "shipped"}}])
def test_a_prior_is_for_a_new_segmenter_of_ours(paths: RunPaths, settings: dict[str, Any]) -> None:
    config = config_for("segmenter", prior=0.1, **settings)
    with pytest.raises(UsageError, match="prior"):
        build_task(config, training_slices(config, paths)[0])


def test_a_fold_takes_the_place_of_the_sources_own_split(paths: RunPaths) -> None:
    config = config_for("classifier", fold="sars-cov-2-ct:1of3")
    training, validation = training_slices(config, paths)
    dealt = refolded(read_source("sars-cov-2-ct", paths.data), Fold("sars-cov-2-ct", 1, 3))
    wanted = {split: {r.path for r in dealt if r.split == split} for split in ("train", "val", "test")}
    of_source = [{r.path for r in some.of_source("sars-cov-2-ct").records} for some in (training, validation)]
    assert of_source == [wanted["train"], wanted["val"]]
    assert wanted["test"]


def test_pseudo_masks_come_from_the_segmenter_and_only_where_a_mask_is_wanted(paths: RunPaths, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = registry.segmenter("default").eval()
    save_weights(network, tmp_path / "teacher.safetensors")
    group = BatchGroup(1, ("sars-cov-2-ct",), "masked", pseudo=True)
    config = replace(config_for("segmenter"), batch=(MASKED, group), pseudo_masks=str(tmp_path / "teacher.safetensors"))
    training, _ = training_slices(config, paths)
    labelled = training.mask_kinds == PSEUDO_MASK
    assert [record.source == "sars-cov-2-ct" and bool(record.infected) for record in training.records] == list(labelled)
    load_weights(network, tmp_path / "teacher.safetensors")
    image = torch.from_numpy(training.images[labelled][:1])[:, None].float() / 255
    with torch.inference_mode():
        seen = [torch.sigmoid(network(image.flip(f)).logits).flip(f) for f in ([], [3])]
    expected = 255 * torch.stack(seen).mean(0)[0, 0]
    assert np.abs(training.masks[labelled][0] - expected.numpy()).max() <= 1


def test_a_limit_of_pseudo_masks_holds_for_each_source(paths: RunPaths, tmp_path: Path) -> None:
    save_weights(registry.segmenter("default"), tmp_path / "teacher.safetensors")
    group = BatchGroup(1, ("sars-cov-2-ct",), "masked", pseudo=True)
    config = replace(config_for("segmenter"), batch=(MASKED, group), pseudo_masks=str(tmp_path / "teacher.safetensors"))
    whole, _ = training_slices(config, paths)
    limited, _ = training_slices(replace(config, pseudo_limit=1), paths)
    assert int((whole.mask_kinds == PSEUDO_MASK).sum()) > 1
    assert int((limited.mask_kinds == PSEUDO_MASK).sum()) == 1


def test_a_wider_network_can_label(paths: RunPaths, tmp_path: Path) -> None:
    save_weights(registry.segmenter("teacher"), tmp_path / "teacher.safetensors")
    group = BatchGroup(1, ("sars-cov-2-ct",), "masked", pseudo=True)
    config = replace(config_for("segmenter"), batch=(MASKED, group), pseudo_masks=str(tmp_path / "teacher.safetensors"))
    with pytest.raises(WeightsError, match="cannot load"):
        training_slices(config, paths)
    training, _ = training_slices(replace(config, pseudo_size="teacher", pseudo_limit=1), paths)
    assert (training.mask_kinds == PSEUDO_MASK).any()


@pytest.mark.parametrize(("chosen", "limit", "kept"), [
    ([1, 1, 1, 1, 1], 3, [1, 0, 1, 0, 1]),
    ([0, 1, 0, 1, 1], 5, [0, 1, 0, 1, 1]),
    ([1, 1, 1, 1, 1], 0, [0, 0, 0, 0, 0]),
    ([0, 0, 0, 0, 0], 2, [0, 0, 0, 0, 0]),
])  # fmt: skip
def test_evenly_spread_choice(chosen: list[int], limit: int, kept: list[int]) -> None:
    assert evenly(np.array(chosen, bool), limit).astype(int).tolist() == kept


def test_validation_slices_can_be_trained_on_and_then_choose_nothing(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for("segmenter", ema=None, train_on_validation=("covid-19-ct100",))
    training, _ = training_slices(config, paths)
    assert {record.split for record in training.of_source("covid-19-ct100").records} == {"train", "val"}
    _score_by_step(monkeypatch, {2: 0.9, 4: 0.5})
    weights = load_file(train(config, paths, device="cpu"))
    summary = json.loads((paths.output / "summary.json").read_text(encoding="utf-8"))
    assert (summary["kept_step"], summary["best"]) == (4, None)
    kept = _checkpoint(paths.output, "last")["state_dict"]
    for key, value in weights.items():
        torch.testing.assert_close(value.float(), kept[f"network.{key}"].float(), rtol=1e-3, atol=1e-6)


def test_test_slices_are_never_trained_on(paths: RunPaths) -> None:
    config = config_for("segmenter", train_on_validation=("covid-19-ct100", "sars-cov-2-ct"))
    training, _ = training_slices(config, paths)
    assert {record.split for record in training.records} == {"train", "val"}


def test_a_peer_trains_by_its_own_loss(paths: RunPaths) -> None:
    config = config_for("segmenter", network="miniseg")
    weights = train(config, paths, device="cpu")
    load_weights(registry.build("miniseg"), weights)
    assert np.isfinite(logged(paths.output, "val/score")).all()


def test_a_network_without_a_vgg_encoder_cannot_start_from_one(encoder_weights: Path, paths: RunPaths) -> None:
    config = config_for("segmenter", network="unet", init={"encoder": str(encoder_weights)})
    with pytest.raises(UsageError, match="unet has no VGG encoder"):
        train(config, paths, device="cpu")


def test_a_res2net_encoder_starts_from_a_backbone(paths: RunPaths, tmp_path: Path) -> None:
    weights = tmp_path / "backbone.safetensors"
    save_weights(registry.classifier("default").backbone, weights)
    config = config_for("segmenter", network="infnet", init={"backbone": str(weights)}, learning_rate=0.0, ema=None)
    after = load_file(train(config, paths, device="cpu"))
    for key, value in load_file(weights).items():
        if "running" not in key and "num_batches" not in key:  # these follow the slices whatever the rate
            torch.testing.assert_close(after[f"encoder.{key}"], value)


def test_a_network_without_a_res2net_cannot_start_from_one(paths: RunPaths, tmp_path: Path) -> None:
    config = config_for("segmenter", init={"backbone": str(tmp_path / "backbone.safetensors")})
    with pytest.raises(UsageError, match="segmenter has no Res2Net"):
        train(config, paths, device="cpu")


def test_frozen_blocks_stay_as_they_are(encoder_weights: Path, paths: RunPaths) -> None:
    config = config_for("segmenter", ema=None, init={"encoder": str(encoder_weights)}, frozen_blocks=2)
    before, after = load_file(encoder_weights), load_file(train(config, paths, device="cpu"))
    changed = {key: not torch.equal(value, after[f"encoder.{key}"]) for key, value in before.items() if "blocks" in key}
    assert not any(moved for key, moved in changed.items() if key.split(".")[1] in "01")
    assert all(moved for key, moved in changed.items() if key.split(".")[1] in "234")


def test_the_head_learns_alone(paths: RunPaths, tmp_path: Path) -> None:
    save_weights(registry.classifier("default"), first := tmp_path / "classifier.safetensors")
    own = config_for("classifier", ema=None, head_only=True, init={"classifier": str(first)})
    found, before = load_file(train(own, paths, "cpu")), load_file(first)
    changed = {name for name, value in found.items() if not torch.equal(value, before[name])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    learned = {name for name in changed if not name.endswith(statistics)}
    assert learned == {"head.weight", "head.bias"}
    (tracked,) = {int(found[name] - before[name]) for name in before if name.endswith("num_batches_tracked")}
    assert tracked in (own.validate_every, own.steps), "statistics follow every batch up to the kept step"


@pytest.mark.parametrize(("task", "init"), [("segmenter", {}), ("classifier", {})])
def test_only_the_head_of_a_classifier_that_has_learned_can_learn_alone(task: str, init: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="head_only"):
        config_for(task, head_only=True, init=init)


def test_an_encoder_is_made_from_imagenet_weights(paths: RunPaths, tmp_path: Path) -> None:
    wide = write_imagenet(tmp_path / "vgg16.safetensors")
    config = TrainConfig(
        "encoder", (LABELLED,), 1, "paper", INPUT_SIZE, init={"imagenet": f"{tmp_path}/vgg16.safetensors"}
    )  # fmt: skip
    encoder = VGGEncoder(PAPER_WIDTHS)
    load_weights(encoder, train(config, paths, device="cpu"))
    torch.testing.assert_close(encoder.convolutions()[5].weight, wide.convolutions()[5].weight, rtol=1e-3, atol=1e-5)


def test_warm_started_parts_learn_at_their_own_rate(encoder_weights: Path, paths: RunPaths) -> None:
    config = config_for("segmenter", init={"encoder": str(encoder_weights)}, encoder_rate=1e-5, schedule="poly")
    task = build_task(config, training_slices(config, paths)[0])
    assert isinstance(task, SegmentationTask)
    optimiser = task.configure_optimizers()["optimizer"]
    assert isinstance(task.network, Segmenter)
    encoder = {id(p) for p in task.network.encoder.parameters()}
    slow, fast = optimiser.param_groups
    assert {id(p) for p in slow["params"]} == encoder
    assert len(fast["params"]) == len(list(task.network.parameters())) - len(encoder)
    assert (slow["initial_lr"], fast["initial_lr"]) == (1e-5, 1e-3)


def test_the_step_schedule_falls_where_the_papers_does(paths: RunPaths) -> None:
    config = config_for("segmenter", steps=100, learning_rate=0.1, schedule="step", optimiser="sgd")
    optimisers = build_task(config, training_slices(config, paths)[0]).configure_optimizers()
    chosen = optimisers["lr_scheduler"]
    assert isinstance(chosen, dict)
    schedule, rates = chosen["scheduler"], []
    for _ in range(100):
        rates.append(optimisers["optimizer"].param_groups[0]["lr"])
        optimisers["optimizer"].step()
        schedule.step()
    assert [rates[step] for step in (0, 29, 30, 59, 60, 89, 90, 99)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4]
    )


def test_a_missing_teacher_is_a_usage_error(paths: RunPaths) -> None:
    with pytest.raises(UsageError, match="task backbone needs"):
        train(config_for("backbone"), paths, device="cpu")


def test_what_is_too_large_for_fp16_is_kept(tmp_path: Path) -> None:
    module = torch.nn.BatchNorm2d(2)
    assert module.running_var is not None
    module.running_var[0] = 1e6
    save_weights(module, tmp_path / "norm.safetensors")
    kept = load_file(tmp_path / "norm.safetensors")
    assert kept["running_var"].tolist() == [1e6, 1.0]
    assert kept["weight"].dtype == torch.float16
    load_weights(torch.nn.BatchNorm2d(2), tmp_path / "norm.safetensors")


def test_a_warm_start_has_no_channel_that_an_infinite_variance_silences(paths: RunPaths) -> None:
    config = TrainConfig("segmenter", (MASKED,), 1, input_size=INPUT_SIZE, init={"segmenter": "shipped"})
    training, _ = training_slices(config, paths)
    buffers = dict(build_task(config, training).network.named_buffers())
    assert all(bool(torch.isfinite(value).all()) for value in buffers.values())


@pytest.mark.parametrize("content", [None, b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_unfit_weights_are_a_weights_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot load"):
        load_weights(registry.classifier("default"), path)


def test_weights_of_another_network_are_a_weights_error(tmp_path: Path) -> None:
    save_weights(registry.segmenter("default").encoder, tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="cannot load"):
        load_weights(registry.classifier("default"), tmp_path / "encoder.safetensors")


def test_a_second_run_into_the_same_folder_starts_afresh(paths: RunPaths) -> None:
    config = config_for("segmenter", steps=2)
    first = load_file(train(config, paths, device="cpu"))
    config_file = yaml.safe_load((paths.output / "config.yaml").read_text(encoding="utf-8"))
    shutil.rmtree(paths.output / "log")
    second = load_file(train(config, paths, device="cpu"))
    assert config_file["seed"] == 3
    assert all(torch.equal(first[key], second[key]) for key in first)
