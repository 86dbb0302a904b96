"""Training the segmenter (paper §III-B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jcs_ct.datasets.prepared import EMPTY_MASK, NO_MASK, READER_MASK
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE, dice_per_image
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.batches import Batch
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.losses import LesionBurden, deep_supervision_loss, lesion_burden, mask_loss
from jcs_ct.training.peer_losses import dss, egnet, infnet, miniseg, poolnet, unet
from jcs_ct.training.task import Task, auc_by_source

PEER_LOSSES: dict[str, Callable[[Segmentation, Tensor], Tensor]] = {
    "unet": unet.loss,
    "dss": dss.loss,
    "egnet": egnet.loss,
    "poolnet": poolnet.loss,
    "poolnet-edges": poolnet.loss,
    "infnet": infnet.loss,
    "infnet-vgg": infnet.loss,
    "miniseg": miniseg.loss,
}
"""Each peer learns by the loss of its own paper."""


def segmentation_loss(output: Segmentation, mask: Tensor, deep_supervision: bool) -> Tensor:
    """Equation (6), on all side outputs or on the last alone."""
    if deep_supervision:
        return deep_supervision_loss(output.side_logits, mask)
    return mask_loss(output.logits, mask)


class _Validated(NamedTuple):
    """What a validation batch showed, (N,) each."""

    dice: Tensor
    share: Tensor
    """Of the lungs that is marked."""
    burden: Tensor
    mask_kind: Tensor
    label: Tensor
    source: Tensor


class SegmentationTask(Task):
    """Masks of a reader, of another segmenter, empty ones of uninfected slices, and labels where there is no mask."""

    monitor = "val/score"

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        super().__init__(network, config)
        self.burden = LesionBurden() if config.burden_weight > 0 else None
        self.validated: list[_Validated] = []

    def warm_started(self) -> Iterable[nn.Parameter]:
        """The encoder, where the network has one and it was trained before."""
        encoder = getattr(self.network, "encoder", None)
        return encoder.parameters() if encoder is not None and self.config.init else ()

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Equation (6), or the peer's own loss."""
        del generator
        output: Segmentation = self.network(batch["image"])
        losses: dict[str, Tensor] = {}
        mask = batch["mask"]
        if self.burden is not None:
            reading = self.burden(output.logits, batch["lung"], batch["label"], self.config.label_smoothing)
            losses["burden"] = self.config.burden_weight * reading
            known = batch["mask_kind"] != NO_MASK
            if not bool(known.any()):
                return losses
            output, mask = _chosen(output, known), mask[known]
        own = PEER_LOSSES.get(self.config.network)
        if own is not None:
            return losses | {"mask": own(output, mask)}
        return losses | {"mask": segmentation_loss(output, mask, self.config.deep_supervision)}

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Dice where there is a mask, share of lung marked, lesion burden."""
        del batch_idx
        probability = torch.sigmoid(self.network(batch["image"]).logits.float())
        marked = probability > 0.5
        dice = dice_per_image(marked, batch["mask"] > 0.5)
        lung = batch["lung"].sum((1, 2, 3)).clamp_min(1)
        share = (marked & batch["lung"]).sum((1, 2, 3)) / lung
        burden = lesion_burden(probability, batch["lung"])
        self.validated.append(_Validated(dice, share, burden, batch["mask_kind"], batch["label"], batch["source"]))

    def on_validation_epoch_end(self) -> None:
        """Score: mean Dice less the share of uninfected slices that are falsely marked, a quarter as heavy."""
        seen = _Validated(*(torch.cat(column) for column in zip(*self.validated, strict=True)))
        dice = seen.dice[seen.mask_kind == READER_MASK].mean()
        marked = (seen.share[seen.mask_kind == EMPTY_MASK] > FALSELY_MARKED_SHARE).float().mean()
        self.log_dict({"val/dice": dice, "val/falsely_marked": marked})
        self.log("val/score", dice.nan_to_num() - 0.25 * marked.nan_to_num(), prog_bar=True)
        if self.burden is not None:
            known = seen.label >= 0
            aucs = auc_by_source(seen.label[known] == 1, seen.burden[known], seen.source[known])
            self.log("val/burden_auc", sum(aucs.values()) / max(len(aucs), 1), prog_bar=True)


def _chosen(output: Segmentation, chosen: Tensor) -> Segmentation:
    """Of some slices only, (N,) bool."""
    logits, sides, edges = output
    return Segmentation(logits[chosen], [side[chosen] for side in sides], [edge[chosen] for edge in edges])
