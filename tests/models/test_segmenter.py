"""The segmenter's parts against paper §III-B and Figs. 2 and 3."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from jcs_ct.models import registry
from jcs_ct.models.attentive_fusion import AttentiveFeatureFusion
from jcs_ct.models.enhanced_feature import EnhancedFeatureModule, GroupedAtrousModule
from jcs_ct.models.segmenter import Decoder, Segmenter

WIDTHS = (8, 8, 16, 16, 16)


@pytest.mark.parametrize("size", registry.SIZES)
def test_encoder_levels_have_strides_1_to_32(size: str) -> None:
    segmenter = registry.segmenter(size).eval()
    with torch.inference_mode():
        levels, top = segmenter.encode(torch.rand(1, 1, 96, 64))
    strides = [96 // level.shape[2] for level in (*levels, top)]
    assert strides == [64 // level.shape[3] for level in (*levels, top)] == [1, 2, 4, 8, 16, 32]
    assert [level.shape[1] for level in levels] == list(segmenter.encoder.widths)
    assert top.shape[1] == segmenter.encoder.widths[-1]


def test_five_side_outputs_finest_first_at_their_own_sizes() -> None:
    with torch.inference_mode():
        output = Segmenter(WIDTHS).eval()(torch.rand(2, 1, 64, 96))
    assert [side.shape for side in output.side_logits] == [(2, 1, 64 // s, 96 // s) for s in (1, 2, 4, 8, 16)]
    assert output.logits is output.side_logits[0]


def test_enhanced_features_keep_stride_16_and_add_stride_32() -> None:
    level5, level6 = EnhancedFeatureModule(16)(torch.rand(2, 16, 12, 10))
    assert level5.shape == (2, 16, 12, 10)
    assert level6.shape == (2, 16, 6, 5)


def test_an_input_under_32_pixels_still_has_a_top_level() -> None:
    with torch.inference_mode():
        _, top = Segmenter(WIDTHS).eval().encode(torch.rand(1, 1, 20, 20))
    assert top.shape[2:] == (1, 1)


def test_each_group_has_its_own_atrous_rate() -> None:
    module = EnhancedFeatureModule(16)
    rates = [
        [layer.dilation[0] for layer in gam.groups.modules() if isinstance(layer, nn.Conv2d)]
        for gam in (module.first, module.second)
    ]
    assert rates == [[1, 3, 6, 9], [1, 2, 3, 4]]


def test_grouped_atrous_module_expands_divides_weights_halves() -> None:
    module = GroupedAtrousModule(16, (1, 2, 3, 4))
    shapes = [tuple(layer.weight.shape) for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert shapes == [
        (32, 16, 1, 1),  # expand
        *[(8, 8, 3, 3)] * 4,  # four equal groups
        (8, 32, 1, 1),  # SE, reduction 4
        (32, 8, 1, 1),
        (16, 32, 1, 1),  # halve
        (16, 16, 3, 3),  # transition
    ]
    assert module(torch.rand(2, 16, 9, 9)).shape == (2, 16, 9, 9)


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="14 channels cannot be divided into 4 equal groups"):
        GroupedAtrousModule(7, (1, 2, 3, 4))


def test_fusion_upsamples_the_decoder_and_predicts_one_channel() -> None:
    fusion = AttentiveFeatureFusion(24, 16, 12)
    features, logits = fusion(torch.rand(2, 24, 17, 22), torch.rand(2, 16, 8, 11))
    assert features.shape == (2, 12, 17, 22)
    assert logits.shape == (2, 1, 17, 22)
    assert fusion.reduce_decoder[0].out_channels == 8
    assert fusion.attention_again.excite.out_channels == 12 + 8  # the upsampled features come in once more


def test_the_coarse_level_reaches_every_finer_side_output() -> None:
    segmenter = Segmenter(WIDTHS).eval()
    levels, top = segmenter.encode(torch.rand(1, 1, 64, 64))
    top = top.detach().requires_grad_()
    for side in segmenter.decoder(levels, top):
        (gradient,) = torch.autograd.grad(side.sum(), top, retain_graph=True)
        assert float(gradient.abs().sum()) > 0


def test_decoder_and_encoder_widths_must_fit() -> None:
    with pytest.raises(ValueError, match="expected 5 decoder widths, found 2"):
        Decoder(WIDTHS, (8, 8))
