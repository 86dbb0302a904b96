"""One training run: data, task, trainer, checkpoints, and what is left behind for others to check."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.overlap import refuse_overlap
from jcs_ct.datasets.own import read_own, write_table
from jcs_ct.datasets.prepared import NO_MASK, PSEUDO_MASK, PreparedSlices, prepare
from jcs_ct.datasets.sources import own_folder
from jcs_ct.errors import UsageError, WeightsError
from jcs_ct.models import registry
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmenter
from jcs_ct.models.vgg import VGGEncoder
from jcs_ct.training.batches import FixedBatches, GroupedBatches
from jcs_ct.training.checks import check_slices, check_sources, labelled
from jcs_ct.training.classification import ClassificationTask
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.joint_training import JointTask
from jcs_ct.training.segmentation import SegmentationTask
from jcs_ct.training.task import Task
from jcs_ct.training.warm_start import BackboneTask, narrow_imagenet_encoder
from jcs_ct.weights import SHIPPED

LOG = logging.getLogger(__name__)
VALIDATION_LIMIT = 100
"""Validation slices of one source that are looked at; a fixed, even choice of them."""
_SEEN_FIRST = 8
"""Slices that the joint model's combinations are set on."""
LARGEST_HALF = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes."""

    data: Path
    output: Path
    cache: Path | None = None


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a safetensors file into a module, strictly.

    Raises:
        WeightsError: the file is missing, or is of another network.
    """
    try:
        state = {name: value.float() for name, value in load_file(path).items()}
        module.load_state_dict(state)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"cannot load {path}: {error}") from error


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's state as fp16 safetensors, aside first; fp32 where a value is too large for fp16.

    Running variances can be: as infinity they would silence their channels for good.
    """
    state = {name: _halved(value).contiguous() for name, value in module.state_dict().items()}
    part = path.with_suffix(".partial")
    save_file(state, part)
    part.replace(path)


def _halved(value: Tensor) -> Tensor:
    fits = value.is_floating_point() and bool((value.abs() <= LARGEST_HALF).all())
    return value.half() if fits else value


def add_pseudo_masks(
    slices: PreparedSlices, chosen: NDArray[np.bool_], weights: Path, size: str, cache: Path | None = None
) -> None:
    """Give slices the soft masks that a segmenter predicts; kept in the cache, as it takes minutes."""
    key = hashlib.sha256(weights.read_bytes() if weights.exists() else b"")
    key.update(slices.images[chosen].tobytes())
    stored = None if cache is None else cache / f"pseudo-{key.hexdigest()[:16]}.npy"
    if stored is not None and stored.exists():
        masks = np.load(stored)
    else:
        LOG.info("labelling %d slices with %s", int(chosen.sum()), weights)
        masks = _predicted_masks(slices.images[chosen], weights, size)
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            partial_file = stored.with_suffix(f".{os.getpid()}.partial.npy")  # others may label the same
            np.save(partial_file, masks)
            partial_file.replace(stored)
    slices.masks[chosen] = masks
    slices.mask_kinds[chosen] = PSEUDO_MASK


@torch.inference_mode()
def _predicted_masks(images: NDArray[np.uint8], weights: Path, size: str) -> NDArray[np.uint8]:
    """Mean of a segmenter's probability over a slice (N, H, W) and its mirror image, stored as 0..255."""
    network = registry.segmenter(size).eval().to(memory_format=torch.channels_last)
    load_weights(network, weights)
    masks = np.empty_like(images)
    for start in range(0, len(images), 16):
        image = torch.from_numpy(images[start : start + 16])[:, None].float() / 255
        image = image.to(memory_format=torch.channels_last)
        both = torch.sigmoid(network(image).logits) + torch.sigmoid(network(image.flip([3])).logits).flip([3])
        masks[start : start + 16] = (both[:, 0] / 2 * 255).round().to(torch.uint8).numpy()
    return masks


def evenly(chosen: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """At most `limit` of the places where (N,) is True, spread evenly over them."""
    places = np.flatnonzero(chosen)
    kept = np.zeros(len(chosen), bool)
    kept[places[np.linspace(0, len(places) - 1, min(len(places), limit)).astype(int)]] = True
    return kept


def training_slices(
    config: TrainConfig, paths: RunPaths, allow_similar: bool = False
) -> tuple[PreparedSlices, PreparedSlices]:
    """Training and validation slices of a run, pseudo masks added where the config asks for them.

    Raises:
        DataError: a split lacks what the task needs.
        OverlapError: something lies on two sides; see `datasets.overlap`.
    """
    check_sources(config)
    batch_sources, validation_sources = _sources(config)
    slices = prepare(sorted(batch_sources | validation_sources), paths.data, config.input_size, paths.cache)
    if config.fold is not None:
        slices.records = refolded(slices.records, Fold.parse(config.fold))
    refuse_overlap(slices, paths.output / "similar.png", allow_similar)
    also = np.array([r.split == "val" and r.source in config.train_on_validation for r in slices.records], bool)
    training = slices.subset(np.array([record.split == "train" for record in slices.records], bool) | also)
    validation = slices.split("val")
    if config.task in ("segmenter", "joint"):  # nothing can be said of a mask that nobody knows, but of a label
        tells = validation.mask_kinds != NO_MASK
        if config.burden_weight > 0:
            tells |= validation.infected >= 0
        validation = validation.subset(tells)
    if config.task == "classifier":
        validation = labelled(validation)
    keep = np.ones(len(validation), bool)
    for source in {record.source for record in validation.records}:
        of_source = np.array([record.source == source for record in validation.records], bool)
        limit = VALIDATION_LIMIT if source in validation_sources else 0
        own = any(r.own for r in validation.records if r.source == source)
        keep &= ~of_source | (_of_all_kinds(validation, of_source, limit) if own else evenly(of_source, limit))
    if config.pseudo_masks:
        wanted = {source for group in config.batch if group.pseudo for source in group.sources} or batch_sources
        chosen = np.array([record.source in wanted for record in training.records], bool)
        chosen &= (training.infected == 1) & (training.mask_kinds == NO_MASK)
        if config.pseudo_limit is not None:
            of_each = [np.array([r.source == source for r in training.records], bool) & chosen for source in wanted]
            chosen = np.any([evenly(of_source, config.pseudo_limit) for of_source in of_each], axis=0)
        add_pseudo_masks(training, chosen, Path(config.pseudo_masks), config.pseudo_size, paths.cache)
    validation = validation.subset(keep)
    check_slices(config, training, validation)
    return training, validation


def _sources(config: TrainConfig) -> tuple[set[str], set[str]]:
    """Names of the sources that are trained on and of those that validate."""
    batch_sources = {source for group in config.batch for source in group.sources}
    return batch_sources, set(config.validation) or batch_sources


def _of_all_kinds(slices: PreparedSlices, chosen: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """As `evenly`, but alike from each kind: whole studies have few slices with opacities among many without."""
    kinds = 4 * slices.infected.astype(np.int64) + slices.mask_kinds
    found = np.unique(kinds[chosen])
    return np.asarray(np.any([evenly(chosen & (kinds == kind), -(-limit // len(found))) for kind in found], axis=0))


def _keep_splits(config: TrainConfig, paths: RunPaths) -> None:
    """Leave beside the run how the patients of own data were split, where the table does not say it."""
    for source in sorted(set.union(*_sources(config))):
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
    training, validation = training_slices(config, paths, allow_similar)  # data that are refused leave no run behind
    paths.output.mkdir(parents=True, exist_ok=True)
    (paths.output / "config.yaml").write_text(yaml.safe_dump(_plain(config), sort_keys=False), encoding="utf-8")
    _keep_splits(config, paths)
    if config.task == "encoder":
        return _make_encoder(config, paths, training)
    task = build_task(config, training)
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
    batches = GroupedBatches(training, config.batch, config.seed, config.steps, start)
    trainer.fit(
        task,
        DataLoader(batches, batch_size=None, num_workers=0),
        DataLoader(FixedBatches(validation), batch_size=None, num_workers=0),
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
