"""Training the joint model (paper §III-B4): the combined features learn on top of both networks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from jcs_ct.datasets.prepared import NO_MASK
from jcs_ct.models.classifier import Classification
from jcs_ct.models.joint import JointModel, JointPrediction
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.batches import Batch
from jcs_ct.training.classification import classification_losses
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.segmentation import SegmentationTask, segmentation_loss


class _SegmentationOnly(nn.Module):
    """A joint model seen as a segmenter."""

    def __init__(self, network: JointModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Segmentation:
        prediction: JointPrediction = self.network(x)
        return prediction.segmentation


class _ClassificationOnly(nn.Module):
    """A joint model seen as a classifier; the segmenter is not run."""

    def __init__(self, network: JointModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Classification:
        output: Classification = self.network.classifier(x)
        return output


class JointTask(SegmentationTask):
    """Equation (6) on every slice with a mask, equations (3) and (4) on every slice with a label."""

    def __init__(self, network: JointModel, config: TrainConfig) -> None:
        super().__init__(_SegmentationOnly(network), config)  # the validation of the segmenter
        self.joint = network
        self.classify = _ClassificationOnly(network)

    def warm_started(self) -> Iterable[nn.Parameter]:
        """Both networks, where they have been trained before."""
        parts = {"classifier": self.joint.classifier, "segmenter": self.joint.segmenter}
        return (p for name, part in parts.items() if name in self.config.init for p in part.parameters())

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses of both tasks; the batch is seen twice, as mixed images have no masks to segment."""
        losses = classification_losses(self.classify, batch, self.config, generator)
        masked = batch["mask_kind"] != NO_MASK
        if bool(masked.any()):
            output = self.network(batch["image"][masked])
            losses["mask"] = segmentation_loss(output, batch["mask"][masked], self.config.deep_supervision)
        return losses
