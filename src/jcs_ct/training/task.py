"""What every training task shares: optimiser, schedule, augmentation, and random numbers that a resumed run repeats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from jcs_ct.datasets.prepared import EMPTY_MASK
from jcs_ct.errors import UsageError
from jcs_ct.evaluation.metrics import roc_auc
from jcs_ct.training.augment import Augment, random_crop
from jcs_ct.training.batches import Batch
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.synthetic_lesions import with_synthetic_lesions
from jcs_ct.training.synthetic_mimics import with_synthetic_mimics

WARM_UP = 0.15
"""Share of the steps in which the one-cycle schedule rises."""


class Task(lightning.LightningModule):
    """A network under training. Subclasses give `losses` and the validation step."""

    monitor = ""
    """Logged figure that chooses the checkpoint."""

    def __init__(self, network: nn.Module, config: TrainConfig) -> None:
        super().__init__()
        # On a CPU twice as fast as channels first.
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.augment = Augment(config.augment)

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Named losses of an augmented batch; their sum is minimised."""
        raise NotImplementedError

    def warm_started(self) -> Iterable[nn.Parameter]:
        """Parameters that learn at `encoder_rate`."""
        return ()

    def forward(self, x: Tensor) -> Any:
        """Whatever the network gives for (N, 1, H, W) in 0..1."""
        return self.network(x)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on one batch."""
        del batch_idx
        # All that is drawn, dropout included, comes from the seed and the step alone: a resumed run repeats an
        # uninterrupted one.
        seed = self.config.seed * 1_000_003 + self.global_step
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        moved = self.augmented(batch, generator)
        losses = self.losses(moved, generator)
        total = torch.stack(list(losses.values())).sum()
        if not bool(torch.isfinite(total)):
            raise UsageError(
                f"step {self.global_step}: found a loss of {float(total.detach())}, expected a number; lower "
                "learning_rate, or train with precision 32-true"
            )
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, on_step=True)
        self.log("train/loss", total.detach(), on_step=True, prog_bar=True)
        return total

    def augmented(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A batch with its slices changed at random, lesions and lungs with them."""
        own = self.config.augment
        image, mask, lung = batch["image"].cpu(), batch["mask"].cpu(), batch["lung"].cpu()
        empty = batch["mask_kind"].cpu() == EMPTY_MASK
        image, mask = with_synthetic_lesions(image, mask, lung, empty, own.pasted, own.painted, generator)
        image, mask = with_synthetic_mimics(image, mask, lung, own.domes, own.thick, generator)
        # The lungs go where the picture goes, as a second channel of the mask.
        image, masks = self.augment(image, torch.cat([mask, lung.float()], 1), generator)
        if self.config.crop is not None:
            image, masks = random_crop([image, masks], self.config.crop, generator)
        image = image.to(self.device, memory_format=torch.channels_last)
        masks = masks.to(self.device)
        return {**batch, "image": image, "mask": masks[:, :1], "lung": masks[:, 1:] > 0.5}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Optimiser and schedule of the config; warm-started parameters have their own rate."""
        config = self.config
        rates = (config.encoder_rate or config.learning_rate, config.learning_rate)
        slow = {id(p) for p in self.warm_started()}
        learning = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learning if (id(p) in slow) == first], "lr": rate}
            for first, rate in zip((True, False), rates, strict=True)
        ]
        groups = [group for group in groups if group["params"]]
        optimiser: torch.optim.Optimizer
        if config.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay)
        elif config.optimiser == "adam":
            optimiser = torch.optim.Adam(groups, weight_decay=config.weight_decay)
        else:
            optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        scheduler = LRSchedulerConfigType(scheduler=self._schedule(optimiser), interval="step")
        return OptimizerLRSchedulerConfig(optimizer=optimiser, lr_scheduler=scheduler)

    def _schedule(self, optimiser: torch.optim.Optimizer) -> LRScheduler:
        steps = self.config.steps
        if self.config.schedule == "poly":
            return LambdaLR(optimiser, lambda step: max(1 - step / steps, 0.0) ** 0.9)
        if self.config.schedule == "step":
            return LambdaLR(optimiser, lambda step: 0.1 ** (10 * step // (3 * steps)))
        peaks = [float(group["lr"]) for group in optimiser.param_groups]
        return OneCycleLR(optimiser, peaks, total_steps=steps + 1, pct_start=WARM_UP, cycle_momentum=False)


def auc_by_source(positive: Tensor, score: Tensor, source: Tensor) -> dict[int, float]:
    """Slice AUC of each source that shows both classes, by its number, so that telling sources apart earns nothing.

    Args:
        positive: (N,), bool.
        score: (N,).
        source: (N,), number of each slice's source.
    """
    aucs = {}
    for index in sorted(set(source.tolist())):
        own = source == index
        auc = roc_auc(positive[own].cpu().numpy(), score[own].float().cpu().numpy())
        if auc is not None:
            aucs[index] = auc
    return aucs
