"""U-Net against Ronneberger et al. 2015, §2 and Fig. 1."""

from __future__ import annotations

import torch
from torch import nn

from jcs_ct.models.peers.unet import UNet

WIDTHS = (4, 6, 8, 10, 12)


def small() -> UNet:
    torch.manual_seed(0)
    return UNet(WIDTHS).eval()


def test_the_published_widths_give_the_known_count_of_parameters() -> None:
    # 31,037,633 is what public implementations of this form (padded, batch norm, up-convolutions) report for three
    # channels in and one logit out; two input channels fewer are 2 · 9 · 64 weights fewer.
    with torch.device("meta"):
        network = UNet()
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_037_633 - 2 * 9 * 64


def test_there_are_the_23_convolutions_of_the_paper() -> None:
    assert sum(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in small().modules()) == 23


def test_levels_have_strides_1_to_16_and_the_widths_asked_for() -> None:
    with torch.inference_mode():
        levels = small().encode(torch.rand(1, 1, 64, 96))
    expected = [(1, width, 64 // s, 96 // s) for width, s in zip(WIDTHS, (1, 2, 4, 8, 16), strict=True)]
    assert [tuple(level.shape) for level in levels] == expected


def test_every_skip_connection_reaches_the_output() -> None:
    network = small()
    levels = [level.detach().requires_grad_() for level in network.encode(torch.rand(1, 1, 64, 64))]
    gradients = torch.autograd.grad(network.decode(levels).square().sum(), levels)
    assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)


def test_the_skip_connections_are_concatenated_not_added() -> None:
    for step, width in zip(small().up, WIDTHS[:-1], strict=True):
        first = next(module for module in step.modules() if isinstance(module, nn.Conv2d))
        assert (first.in_channels, first.out_channels) == (2 * width, width)


def test_odd_sizes_keep_every_pixel() -> None:
    for shape in ((97, 131), (33, 40)):
        with torch.inference_mode():
            output = small()(torch.rand(2, 1, *shape))
        assert output.logits.shape == (2, 1, *shape)
        assert len(output.side_logits) == 1
        assert output.side_logits[0] is output.logits


def test_a_batch_of_two_trains() -> None:
    network = small().train()
    network(torch.rand(2, 1, 33, 40)).logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
