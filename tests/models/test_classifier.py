"""Backbone and classifier."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from jcs_ct.models import registry
from jcs_ct.models.res2net import Res2NetBackbone


@pytest.mark.parametrize(("output_stride", "strides"), [(32, [2, 4, 8, 16, 32]), (16, [2, 4, 8, 16, 16])])
def test_backbone_gives_five_stages_at_their_strides(output_stride: int, strides: list[int]) -> None:
    backbone = Res2NetBackbone((1, 1, 1, 1), (8, 8, 8, 8), output_stride).eval()
    with torch.inference_mode():
        stages = backbone(torch.rand(1, 1, 64, 96))
    assert [64 // stage.shape[2] for stage in stages] == [96 // stage.shape[3] for stage in stages] == strides
    assert [stage.shape[1] for stage in stages] == list(backbone.widths) == [64, 32, 32, 32, 32]


def test_logits_are_global_average_pooling_and_one_linear_layer() -> None:
    classifier = registry.classifier("default").eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        pooled = nn.AdaptiveAvgPool2d(1)(classifier.backbone(image)[-1]).flatten(1)
        torch.testing.assert_close(classifier(image).logits, classifier.head(pooled))


def test_default_map_has_a_stride_of_16_and_the_papers_of_32() -> None:
    image = torch.rand(1, 1, 96, 64)
    with torch.inference_mode():
        maps = [registry.classifier(size).eval()(image).activation_map.shape[2:] for size in ("default", "paper")]
    assert maps == [(6, 4), (3, 2)]
