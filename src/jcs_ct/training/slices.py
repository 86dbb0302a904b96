"""Which slices a run trains on and validates by, and the masks that another segmenter gives them."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from jcs_ct.datasets.folds import Fold, refolded
from jcs_ct.datasets.overlap import refuse_overlap
from jcs_ct.datasets.prepared import NO_MASK, PSEUDO_MASK, PreparedSlices, prepare
from jcs_ct.models import registry
from jcs_ct.training.checks import check_slices, check_sources, labelled
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.files import RunPaths, load_weights

LOG = logging.getLogger(__name__)
VALIDATION_LIMIT = 100
"""Validation slices of one source that are looked at; a fixed, even choice of them."""


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
    batch_sources, validation_sources = sources_of(config)
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


def sources_of(config: TrainConfig) -> tuple[set[str], set[str]]:
    """Names of the sources that are trained on and of those that validate."""
    batch_sources = {source for group in config.batch for source in group.sources}
    return batch_sources, set(config.validation) or batch_sources


def _of_all_kinds(slices: PreparedSlices, chosen: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """As `evenly`, but alike from each kind: whole studies have few slices with opacities among many without."""
    kinds = 4 * slices.infected.astype(np.int64) + slices.mask_kinds
    found = np.unique(kinds[chosen])
    return np.asarray(np.any([evenly(chosen & (kinds == kind), -(-limit // len(found))) for kind in found], axis=0))
