"""Training the explainable classifier (paper §III-A)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from jcs_ct.datasets.prepared import NO_MASK
from jcs_ct.models.activation_map import INFECTED
from jcs_ct.models.classifier import Classification, Classifier
from jcs_ct.training.batches import Batch
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.losses import LesionReading, activation_map_loss, mix, mixed_cross_entropy, off_target_share
from jcs_ct.training.task import Task, auc_by_source


def classification_losses(
    network: nn.Module,
    batch: Batch,
    config: TrainConfig,
    generator: torch.Generator,
    reading: LesionReading | None = None,
) -> dict[str, Tensor]:
    """Cross-entropy with mixing, equation (3), L_seg, equation (4), and what `reading` makes of the map.

    A mixed image has the mixed mask, as its lesions are those of both, fainter; it counts for the map where both masks
    are known.
    """
    image, mask, label = batch["image"], batch["mask"], batch["label"]
    known = batch["mask_kind"] != NO_MASK
    weight, partner = torch.ones(len(image)), torch.arange(len(image))
    if config.mixing > 0:
        image, weight, partner = mix(image, config.mixing, generator)
    weight, partner = weight.to(image.device), partner.to(image.device)
    output: Classification = network(image)
    losses = {"class": mixed_cross_entropy(output.logits, label, weight, partner, config.label_smoothing)}
    share = weight[:, None, None, None]
    mask = share * mask + (1 - share) * mask[partner]
    known = known & known[partner]
    if config.map_weight > 0:
        losses["map"] = config.map_weight * activation_map_loss(output.activation_map, mask, known)
    if config.off_target_weight > 0:
        lung = batch["lung"] | batch["lung"][partner]
        losses["stray"] = config.off_target_weight * off_target_share(output.activation_map, lung, mask)
    if reading is not None:
        losses["lesion"] = config.lesion_weight * reading(output.activation_map, mask, known)
    return losses


class ClassificationTask(Task):
    """Labels of slices, and masks for the activation map where they are known."""

    monitor = "val/auc"

    def __init__(self, network: Classifier, config: TrainConfig) -> None:
        super().__init__(network, config)
        self.network: Classifier = network
        self.reading = LesionReading() if config.lesion_weight > 0 else None
        self.validated: list[tuple[Tensor, Tensor, Tensor]] = []
        if config.head_only:
            network.backbone.requires_grad_(requires_grad=False)

    def warm_started(self) -> Iterable[nn.Parameter]:
        """The Res2Net backbone."""
        return self.network.backbone.parameters() if self.config.init else ()

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Equations (3) and (4), and the lesions read from the map."""
        return classification_losses(self.network, batch, self.config, generator, self.reading)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Probability of infection of each slice."""
        del batch_idx
        probability = self.network(batch["image"]).logits.softmax(1)[:, INFECTED]
        self.validated.append((probability, batch["label"], batch["source"]))

    def on_validation_epoch_end(self) -> None:
        """Mean over the sources of the slice AUC, so that telling sources apart earns nothing."""
        probability, label, source = (torch.cat(column) for column in zip(*self.validated, strict=True))
        aucs = auc_by_source(label == 1, probability, source)
        for index, auc in aucs.items():
            self.log(f"val/auc_{self.source_name(index)}", auc)
        self.log("val/auc", sum(aucs.values()) / max(len(aucs), 1), prog_bar=True)

    def source_name(self, index: int) -> str:
        """Name of a source by its number in the batches."""
        return sorted(self.config.validation)[index] if self.config.validation else str(index)
