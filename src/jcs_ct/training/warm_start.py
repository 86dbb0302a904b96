"""Starting well: the narrow VGG encoder from ImageNet's, and the Res2Net backbone from the narrow encoder.

No Res2Net ImageNet weights are needed: the backbone learns, on unlabelled CT slices, to give the features that the VGG
encoder gives (FitNets, Romero et al., ICLR 2015; one 1×1 convolution a level translates).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.models.layers import resize_like
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.vgg import PAPER_WIDTHS, VGGEncoder
from jcs_ct.training.batches import Batch
from jcs_ct.training.config import TrainConfig
from jcs_ct.training.narrowing import narrow
from jcs_ct.training.task import Task

SLICES_TO_NARROW = 96
"""Slices on which the narrow encoder is fitted."""


def narrow_imagenet_encoder(
    imagenet: Mapping[str, Tensor], encoder: VGGEncoder, slices: PreparedSlices, seed: int
) -> list[float]:
    """Fill an encoder of any width from torchvision-shaped ImageNet VGG-16 weights; see `narrowing.narrow`."""
    if encoder.widths == PAPER_WIDTHS:
        encoder.load_imagenet(imagenet)
        return []
    wide = VGGEncoder()
    wide.load_imagenet(imagenet)
    random = np.random.default_rng(seed)
    chosen = random.choice(len(slices), min(SLICES_TO_NARROW, len(slices)), replace=False)
    images = torch.from_numpy(slices.images[np.sort(chosen)])[:, None].float() / 255
    return narrow(wide.eval(), encoder.eval(), images, seed)


class BackboneTask(Task):
    """The backbone's last three levels learn the teacher's last three blocks, standardised by channel."""

    monitor = "val/unexplained"

    def __init__(self, network: Res2NetBackbone, teacher: VGGEncoder, config: TrainConfig) -> None:
        super().__init__(network, config)
        self.network: Res2NetBackbone = network
        self.teacher = teacher.requires_grad_(requires_grad=False)
        self.translate = nn.ModuleList(
            nn.Conv2d(own, wanted, 1) for own, wanted in zip(network.widths[2:], teacher.widths[2:], strict=True)
        )
        self.standardise = nn.ModuleList(
            nn.BatchNorm2d(wanted, affine=False, momentum=0.01) for wanted in teacher.widths[2:]
        )

    def _unexplained(self, image: Tensor) -> Tensor:
        """Mean squared error of the standardised features: 1 for knowing nothing, 0 for all."""
        with torch.no_grad():
            wanted = self.teacher(image)[2:]
        given = self.network(image)[2:]
        errors = []
        for own, target, translate, standardise in zip(given, wanted, self.translate, self.standardise, strict=True):
            pooled = F.adaptive_avg_pool2d(target, (own.shape[-2], own.shape[-1]))
            errors.append(F.mse_loss(resize_like(translate(own), pooled), standardise(pooled)))
        return torch.stack(errors).mean()

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """What the backbone fails to say of the teacher's features."""
        del generator
        return {"unexplained": self._unexplained(batch["image"])}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """The same on validation slices."""
        del batch_idx
        self.log("val/unexplained", self._unexplained(batch["image"]), batch_size=len(batch["image"]), prog_bar=True)
