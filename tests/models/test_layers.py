"""Building blocks: sizes, attention, normalization."""

from __future__ import annotations

import pytest
import torch

from jcs_ct.models.layers import InputNormalization, SqueezeExcitation, conv_bn_relu, resize_like


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 9)])
def test_convolutions_keep_the_size(kernel: int, dilation: int) -> None:
    assert conv_bn_relu(3, 5, kernel, dilation)(torch.rand(2, 3, 17, 23)).shape == (2, 5, 17, 23)


def test_attention_squeezes_by_four_and_weights_whole_channels() -> None:
    attention = SqueezeExcitation(32)
    assert attention.squeeze.out_channels == 8
    x = torch.rand(2, 32, 5, 7) + 0.1
    factor = (attention(x) / x).detach()
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(x))
    assert 0 < float(factor.min()) <= float(factor.max()) < 1


def test_attention_of_three_channels_keeps_one() -> None:
    assert SqueezeExcitation(3).squeeze.out_channels == 1


def test_resize_goes_to_the_references_size_and_leaves_equal_sizes_alone() -> None:
    x = torch.rand(1, 2, 4, 5)
    assert resize_like(x, torch.rand(1, 9, 9, 11)).shape == (1, 2, 9, 11)
    assert resize_like(x, torch.rand(1, 9, 4, 5)) is x


def test_normalization_centres_the_mean_grey_and_travels_with_the_weights() -> None:
    layer = InputNormalization()
    levels = torch.tensor([InputNormalization.MEAN, InputNormalization.MEAN + InputNormalization.STD])
    torch.testing.assert_close(layer(levels[None, None, None]).flatten(), torch.tensor([0.0, 1.0]))
    assert set(layer.state_dict()) == {"mean", "std"}
