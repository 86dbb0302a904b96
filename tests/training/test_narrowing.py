"""Narrowing an encoder: nothing is lost where nothing is left out, and what is kept spans the rest."""

from __future__ import annotations

import pytest
import torch

from jcs_ct.models.vgg import VGGEncoder
from jcs_ct.training.narrowing import narrow, pivots


def encoder(*widths: int) -> VGGEncoder:
    """A random encoder whose features vary."""
    made = VGGEncoder(widths)
    for convolution in made.convolutions():
        torch.nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        assert convolution.bias is not None
        torch.nn.init.uniform_(convolution.bias, -0.1, 0.1)
    return made.eval()


def images(seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.nn.functional.interpolate(torch.rand(24, 1, 16, 16), (64, 64), mode="bicubic").clamp(0, 1)


def test_an_encoder_narrowed_to_its_own_width_is_the_same() -> None:
    torch.manual_seed(0)
    wide, again = encoder(6, 6, 8, 8, 8), encoder(6, 6, 8, 8, 8)
    left = narrow(wide, again, images())
    assert len(left) == 13
    assert max(left) < 0.01
    probe = images(2)
    with torch.inference_mode():
        for found, expected in zip(again(probe), wide(probe), strict=True):
            assert float((found - expected).abs().mean()) < 0.05 * float(expected.std())


def test_a_narrower_encoder_keeps_more_than_a_random_one() -> None:
    torch.manual_seed(0)
    wide, half = encoder(8, 8, 8, 8, 8), encoder(4, 4, 4, 4, 4)
    left = narrow(wide, half, images())
    assert left[0] < 0.01  # a layer on the image itself can be fitted exactly
    assert max(left) < 0.9


def test_pivots_pick_channels_that_span_the_others() -> None:
    torch.manual_seed(0)
    base = torch.randn(3, 4000)
    noise = 0.05 * torch.randn(7, 4000)
    # Channels 1, 4 and 6 show the three causes clearly, the others the same ones faintly or mixed.
    mixing = torch.tensor([[0.1, 0, 0], [3, 0, 0], [0, 0.2, 0], [0.1, 0, 0.1], [0, 3, 0], [0.1, 0.1, 0], [0, 0, 3]])
    channels = mixing @ base + noise
    chosen = pivots(channels @ channels.T / 4000, 3)
    assert chosen.tolist() == [1, 4, 6]
    solution = torch.linalg.lstsq(channels[chosen].T, channels.T).solution
    unexplained = channels[chosen].T @ solution - channels.T
    assert float(unexplained.std()) < 0.06


@pytest.mark.parametrize("count", [1, 3, 5])
def test_pivots_are_distinct_even_of_dead_channels(count: int) -> None:
    moments = torch.zeros(5, 5)
    moments[2, 2] = 1.0
    chosen = pivots(moments, count).tolist()
    assert len(set(chosen)) == count
    assert 2 in chosen
