"""One training run: data, task, trainer, checkpoints, and what is left behind for others to check."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from jcs_ct.datasets.own import read_own, write_table
from jcs_ct.datasets.prepared import NO_MASK, PreparedSlices
from jcs_ct.datasets.sources import own_folder
from jcs_ct.datasets.whole_slices import prepare_whole
from jcs_ct.errors import UsageError
from jcs_ct.models import registry
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmenter
from jcs_ct.models.vgg import VGGEncoder
from jcs_ct.training.batches import Batch, FixedBatches, GroupedBatches
from jcs_ct.training.classification import ClassificationTask
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.files import LARGEST_HALF, RunPaths, load_weights, save_weights
from jcs_ct.training.joint_training import JointTask
from jcs_ct.training.lungs import FixedLungBatches, LungBatches, LungTask
from jcs_ct.training.segmentation import SegmentationTask
from jcs_ct.training.slices import evenly, sources_of, training_slices
from jcs_ct.training.task import Task
from jcs_ct.training.warm_start import BackboneTask, narrow_imagenet_encoder
from jcs_ct.weights import SHIPPED

LOG = logging.getLogger(__name__)
_SEEN_FIRST = 8
"""Slices that the joint model's combinations are set on."""
_Loaders = tuple[Callable[[int], IterableDataset[Batch]], Dataset[Batch]]
"""Training batches from a step on, and validation batches."""


def _keep_splits(config: TrainConfig, paths: RunPaths) -> None:
    """Leave beside the run how the patients of own data were split, where the table does not say it."""
    for source in sorted(set.union(*sources_of(config))):
        folder = own_folder(source, paths.data)
        if folder is None or not (own := read_own(folder, source)).split_was_made:
            continue
        target = paths.output / f"slices-{folder.resolve().name}.csv"
        write_table(own.records, folder, target)
        LOG.info("%s has no column `split`: patients were split, see %s", folder / "slices.csv", target)


def build_task(config: TrainConfig, training: PreparedSlices) -> Task:
    """The network of the config, warm-started as it says, in its task."""
    if config.task == "backbone":
        teacher = VGGEncoder(registry.segmenter(config.size).encoder.widths)
        load_weights(teacher, _init(config, "encoder"))
        return BackboneTask(registry.classifier(config.size).backbone, teacher, config)
    if config.task == "segmenter":
        return SegmentationTask(_started_segmenter(config), config)
    if config.task == "classifier":
        classifier = registry.classifier(config.size)
        _start(classifier.backbone, config, "backbone")
        _start(classifier, config, "classifier")
        return ClassificationTask(classifier, config)
    joint = registry.joint(config.size)
    _start(joint.classifier, config, "classifier")
    _start(joint.segmenter, config, "segmenter")
    if "segmenter" in config.init:
        some = evenly(training.mask_kinds != NO_MASK, _SEEN_FIRST)
        joint.start_from_segmenter(torch.from_numpy(training.images[some])[:, None].float() / 255)
    return JointTask(joint, config)


def _started_segmenter(config: TrainConfig) -> nn.Module:
    segmenter = registry.build(config.network, config.size)
    encoder = getattr(segmenter, "encoder", None)
    if isinstance(encoder, VGGEncoder):
        _start(encoder, config, "encoder")
        for block in encoder.blocks[: config.frozen_blocks]:
            block.requires_grad_(requires_grad=False)
    elif "encoder" in config.init or config.frozen_blocks:
        raise UsageError(f"config: {config.network} has no VGG encoder to start from `init: encoder` or to freeze")
    if isinstance(encoder, Res2NetBackbone):
        _start(encoder, config, "backbone")
    elif "backbone" in config.init:
        raise UsageError(f"config: {config.network} has no Res2Net to start from `init: backbone`")
    _start(segmenter, config, "segmenter")
    if config.prior is not None:
        if not isinstance(segmenter, Segmenter) or "segmenter" in config.init:
            raise UsageError("config: found a `prior`, expected it for our segmenter without `init: segmenter` only")
        segmenter.decoder.start_from(config.prior)
    return segmenter


def _init(config: TrainConfig, part: str) -> Path:
    if part not in config.init:
        raise UsageError(f"config: task {config.task} needs `init: {{{part}: FILE}}`")
    if config.init[part] == "shipped":
        return SHIPPED / f"{part}.safetensors"
    return Path(config.init[part])


def _start(module: nn.Module, config: TrainConfig, part: str) -> None:
    if part not in config.init:
        return
    load_weights(module, _init(config, part))
    for buffer in module.buffers():  # written by an earlier version as fp16, a large running variance is infinite
        if buffer.is_floating_point():
            buffer.clamp_(max=LARGEST_HALF)  # training soon forgets a number, and never infinity


def last_checkpoint(paths: RunPaths) -> Path:
    """Where a run's newest state is kept."""
    return paths.output / "checkpoints" / "last.ckpt"


def train(
    config: TrainConfig,
    paths: RunPaths,
    device: str = "auto",
    resume: bool = False,
    devices: int = 1,
    allow_similar: bool = False,
) -> Path:
    """Train, and leave behind weights, config, log and a summary.

    Args:
        config: the run's settings.
        paths: data in, results out; the output folder is made.
        device: `auto`, `cpu` or `cuda`.
        resume: go on from the last checkpoint in the output folder, if there is one.
        devices: GPUs to train on (DDP above one).
        allow_similar: go on where own slices in different splits look the same.

    Returns:
        The weights of the checkpoint that was best on the validation data, as safetensors.

    Raises:
        UsageError, DataError, WeightsError: settings, data or initial weights are not as expected.
    """
    lightning.seed_everything(config.seed, verbose=False)
    loaders: _Loaders
    if config.task == "lungs":
        lungs = registry.lungs(config.size)
        _start(lungs, config, "lungs")
        task: Task = LungTask(lungs, config)
        loaders = _lung_loaders(config, paths)
        _begin(config, paths)
        return _fit(task, loaders, config, paths, device, resume, devices)
    training, validation = training_slices(config, paths, allow_similar)  # data that are refused leave no run behind
    _begin(config, paths)
    _keep_splits(config, paths)
    if config.task == "encoder":
        return _make_encoder(config, paths, training)
    task = build_task(config, training)

    def batches(start: int) -> GroupedBatches:
        return GroupedBatches(training, config.batch, config.seed, config.steps, start)

    loaders = batches, FixedBatches(validation)
    return _fit(task, loaders, config, paths, device, resume, devices)


def _begin(config: TrainConfig, paths: RunPaths) -> None:
    """Make the output folder and leave the config there."""
    paths.output.mkdir(parents=True, exist_ok=True)
    (paths.output / "config.yaml").write_text(yaml.safe_dump(_plain(config), sort_keys=False), encoding="utf-8")


def _lung_loaders(config: TrainConfig, paths: RunPaths) -> _Loaders:
    side = config.input_size[0]
    slices = prepare_whole(sorted(set.union(*sources_of(config))), paths.data, side, paths.cache)
    training = slices.split("train")

    def batches(start: int) -> LungBatches:
        return LungBatches(training, config.batch, config.seed, config.steps, start)

    return batches, FixedLungBatches(slices.split("val"))


def _fit(
    task: Task, loaders: _Loaders, config: TrainConfig, paths: RunPaths, device: str, resume: bool, devices: int
) -> Path:
    """Train a task on its batches from wherever the run had come to, and keep the best weights."""
    batches, validation = loaders
    last = last_checkpoint(paths)
    start = int(torch.load(last, weights_only=False)["global_step"]) if resume and last.exists() else 0
    best = ModelCheckpoint(
        paths.output / "checkpoints",
        filename="best",
        monitor=task.monitor,
        mode="min" if task.monitor == "val/unexplained" else "max",
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    trainer = _trainer(config, paths, best, device, devices)
    trainer.fit(
        task,
        DataLoader(batches(start), batch_size=None, num_workers=0),
        DataLoader(validation, batch_size=None, num_workers=0),
        ckpt_path=last if start else None,
        weights_only=False,
    )
    return _keep_best(task, best, config, paths)


def _trainer(
    config: TrainConfig, paths: RunPaths, best: ModelCheckpoint, device: str, devices: int
) -> lightning.Trainer:
    # Its own callback: `save_last` of the other one writes only where the validation has improved.
    last = ModelCheckpoint(
        paths.output / "checkpoints", filename="last", enable_version_counter=False, save_on_train_epoch_end=False
    )
    callbacks: list[Callback] = [best, last]
    if config.ema is not None:
        callbacks.append(EMAWeightAveraging(decay=config.ema))
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar(refresh_rate=1))
    return lightning.Trainer(
        max_steps=config.steps,
        max_epochs=-1,
        val_check_interval=min(config.validate_every, config.steps),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[device],
        devices=devices,
        precision=config.precision,  # type: ignore[arg-type]  # checked by Lightning
        logger=[CSVLogger(paths.output, name="log"), TensorBoardLogger(paths.output, name="tensorboard")],
        callbacks=callbacks,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        log_every_n_steps=10,
        gradient_clip_val=5.0,
    )


def _network(task: Task) -> nn.Module:
    return task.joint if isinstance(task, JointTask) else task.network


def _keep_best(task: Task, best: ModelCheckpoint, config: TrainConfig, paths: RunPaths) -> Path:
    if not best.best_model_path:
        raise UsageError("the run ended before its first validation; expected steps >= validate_every")
    chosen = last_checkpoint(paths) if config.train_on_validation else Path(best.best_model_path)
    checkpoint = torch.load(chosen, weights_only=False)
    task.load_state_dict(checkpoint["state_dict"])
    weights = paths.output / f"{config.task}.safetensors"
    save_weights(_network(task), weights)
    judged = best.best_model_score is not None and not config.train_on_validation
    score = float(best.best_model_score) if judged else None  # type: ignore[arg-type]  # checked in the line before
    summary = {
        # Where the data lie on the machine that trained says nothing to others.
        "command": " ".join(["jcs", *sys.argv[1:]]).replace(str(paths.data), "DATA"),
        "monitor": task.monitor,
        "best": score,
        "kept_step": int(checkpoint["global_step"]),
        "seed": config.seed,
        "torch": torch.__version__,
    }
    (paths.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return weights


def _make_encoder(config: TrainConfig, paths: RunPaths, training: PreparedSlices) -> Path:
    imagenet: dict[str, Tensor] = load_file(_init(config, "imagenet"))
    encoder = registry.segmenter(config.size).encoder
    left = narrow_imagenet_encoder(imagenet, encoder, training, config.seed)
    weights = paths.output / "encoder.safetensors"
    save_weights(encoder, weights)
    summary = {"variance_left": [round(value, 5) for value in left], "seed": config.seed}
    (paths.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return weights


def _plain(config: TrainConfig) -> dict[str, object]:
    """A config as YAML can hold it."""
    plain: dict[str, object] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain
