"""Training the segmenter (paper §III-B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from jcs_ct.datasets.prepared import EMPTY_MASK, READER_MASK
from jcs_ct.evaluation.metrics import FALSELY_MARKED_SHARE, dice_per_image
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.batches import Batch
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.losses import deep_supervision_loss, mask_loss
from jcs_ct.training.peer_losses import dss, egnet, infnet, miniseg, poolnet, unet
from jcs_ct.training.task import Task

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


class SegmentationTask(Task):
    """Masks of a reader, of another segmenter, and empty ones of uninfected slices."""

    monitor = "val/score"

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        super().__init__(network, config)
        self.validated: list[tuple[Tensor, Tensor]] = []

    def warm_started(self) -> Iterable[nn.Parameter]:
        """The encoder, where the network has one and it was trained before."""
        encoder = getattr(self.network, "encoder", None)
        return encoder.parameters() if encoder is not None and self.config.init else ()

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Equation (6), or the peer's own loss."""
        del generator
        output = self.network(batch["image"])
        own = PEER_LOSSES.get(self.config.network)
        if own is not None:
            return {"mask": own(output, batch["mask"])}
        return {"mask": segmentation_loss(output, batch["mask"], self.config.deep_supervision)}

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Dice where there is a mask, share of lung marked where there is none to find."""
        del batch_idx
        marked = torch.sigmoid(self.network(batch["image"]).logits) > 0.5
        dice = dice_per_image(marked, batch["mask"] > 0.5)
        lung = batch["lung"].sum((1, 2, 3)).clamp_min(1)
        share = (marked & batch["lung"]).sum((1, 2, 3)) / lung
        self.validated.append((dice[batch["mask_kind"] == READER_MASK], share[batch["mask_kind"] == EMPTY_MASK]))

    def on_validation_epoch_end(self) -> None:
        """Score: mean Dice less the share of uninfected slices that are falsely marked, a quarter as heavy."""
        dice = torch.cat([d for d, _ in self.validated])
        marked = (torch.cat([s for _, s in self.validated]) > FALSELY_MARKED_SHARE).float()
        score = dice.mean().nan_to_num() - 0.25 * marked.mean().nan_to_num()
        self.log_dict({"val/dice": dice.mean(), "val/falsely_marked": marked.mean()})
        self.log("val/score", score, prog_bar=True)
