"""Inf-Net against its paper: size, strides, and what its three parts do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from jcs_ct.models.peers.infnet import Backbone, InfNet, ReverseAttention
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.models.vgg import VGGEncoder

WIDTHS: dict[Backbone, tuple[int, ...]] = {"vgg": (8, 8, 16, 16, 16), "res2net": (16, 16, 16, 16)}
EACH = pytest.mark.parametrize("backbone", ["vgg", "res2net"])


def small(backbone: Backbone) -> InfNet:
    torch.manual_seed(0)
    return InfNet(backbone, WIDTHS[backbone]).eval()


def moved(one: Tensor, other: Tensor) -> bool:
    return not torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def reverse_attention(network: InfNet) -> list[ReverseAttention]:
    return [module for module in network.reverse if isinstance(module, ReverseAttention)]


def test_the_size_is_the_published_one() -> None:
    """33.12 M with Res2Net-50 (Table II of the paper); ours are 31.05 M.

    The paper counts ImageNet's classification layer (2048 features, 1000 classes, 2.05 M), which its backbone carries
    along unused. The 0.02 M left are the "v1b" stem. Counted on the meta device: no memory is taken.
    """
    with torch.device("meta"):
        network = InfNet()
    count = sum(parameter.numel() for parameter in network.parameters())
    assert (count + 1000 * (2048 + 1)) / 1e6 == pytest.approx(33.12, abs=0.05)


def test_the_backbone_is_the_callers_choice() -> None:
    assert isinstance(small("vgg").encoder, VGGEncoder)
    assert isinstance(small("res2net").encoder, Res2NetBackbone)
    with pytest.raises(ValueError, match="no backbone 'resnet'; backbones: vgg, res2net"):
        InfNet("resnet")  # type: ignore[arg-type]


def test_channels_are_the_published_ones_and_narrow_with_the_backbone() -> None:
    with torch.device("meta"):
        published, half = InfNet(), InfNet("vgg", (32, 64, 128, 256, 256))
    for network, share in ((published, 1), (half, 2)):
        assert network.edge.head.in_channels == 64 // share
        assert network.partial_decoder.head.in_channels == 3 * 32 // share
        assert [module.head.in_channels for module in reverse_attention(network)] == [
            64 // share,
            64 // share,
            256 // share,
        ]
        sizes = [
            [layer.kernel_size[0] for layer in module.refine.modules() if isinstance(layer, nn.Conv2d)]
            for module in reverse_attention(network)
        ]
        assert sizes == [[3, 3], [3, 3], [5, 5, 5]]


@pytest.mark.parametrize(
    ("backbone", "strides", "edge_stride"), [("vgg", [4, 4, 8, 16], 2), ("res2net", [8, 8, 16, 32], 4)]
)
def test_maps_are_finest_first_at_their_own_strides(backbone: Backbone, strides: list[int], edge_stride: int) -> None:
    with torch.inference_mode():
        output = small(backbone)(torch.rand(2, 1, 64, 96))
    assert output.logits.shape == (2, 1, 64, 96)
    assert [tuple(side.shape) for side in output.side_logits] == [(2, 1, 64 // s, 96 // s) for s in strides]
    assert output.edge_logits[0].shape == (2, 1, 64 // edge_stride, 96 // edge_stride)


@EACH
@pytest.mark.parametrize("size", [(97, 131), (33, 40)])
def test_inputs_of_any_size_pass(backbone: Backbone, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        output = small(backbone)(torch.rand(1, 1, *size))
    assert output.logits.shape == (1, 1, *size)
    assert output.side_logits[0].shape == output.side_logits[1].shape
    assert all(bool(part.isfinite().all()) for part in (output.logits, *output.side_logits, *output.edge_logits))


def changed(part: nn.Module, network: InfNet) -> tuple[Segmentation, Segmentation]:
    """Outputs before and after the weights of the part's convolutions are turned round."""
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        before = network(image)
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.neg_()
        return before, network(image)


@EACH
def test_edges_reach_all_maps_but_the_global_one(backbone: Backbone) -> None:
    network = small(backbone)
    before, after = changed(network.edge.features[-1], network)
    found = [moved(one, other) for one, other in zip(before.side_logits, after.side_logits, strict=True)]
    assert found == [True, False, True, True]
    assert moved(before.edge_logits[0], after.edge_logits[0])


@EACH
def test_the_global_map_reaches_all_maps_but_not_the_edges(backbone: Backbone) -> None:
    network = small(backbone)
    before, after = changed(network.partial_decoder.merge_middle, network)
    assert all(moved(one, other) for one, other in zip(before.side_logits, after.side_logits, strict=True))
    assert not moved(before.edge_logits[0], after.edge_logits[0])


@pytest.mark.parametrize(("stage", "expected"), [(2, [True, False, True, True]), (0, [True, False, False, False])])
def test_each_reverse_attention_changes_its_map_and_the_finer_ones(stage: int, expected: list[bool]) -> None:
    network = small("res2net")
    before, after = changed(reverse_attention(network)[stage].refine, network)
    found = [moved(one, other) for one, other in zip(before.side_logits, after.side_logits, strict=True)]
    assert found == expected


def test_all_three_high_levels_reach_the_global_map_and_no_low_one_is_needed() -> None:
    decoder = small("res2net").partial_decoder
    widths = small("res2net").encoder.widths[2:]
    levels = [
        torch.rand(1, width, 16 // s, 16 // s, requires_grad=True) for width, s in zip(widths, (1, 2, 4), strict=True)
    ]
    global_map = decoder(levels)
    assert global_map.shape == (1, 1, 16, 16)
    gradients = torch.autograd.grad(global_map.square().sum(), levels)
    assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)


def test_reverse_attention_does_not_look_where_the_coarser_map_is_sure() -> None:
    torch.manual_seed(0)
    module = ReverseAttention(16, 8, 8, 3, 2).eval()
    level, edge = torch.rand(1, 16, 8, 8, requires_grad=True), torch.rand(1, 8, 16, 16)
    sure = torch.full((1, 1, 4, 4), -30.0)
    sure[..., :2] = 30.0  # the left half is lesion beyond doubt
    (gradient,) = torch.autograd.grad(module(level, sure, edge).sum(), level)
    assert float(gradient[..., :3].abs().max()) < 1e-6
    assert float(gradient[..., 5:].abs().min()) > 1e-6


def test_what_reverse_attention_finds_is_added_to_the_coarser_map() -> None:
    module = ReverseAttention(16, 8, 8, 3, 2).eval()
    nn.init.zeros_(module.head.weight)
    nn.init.constant_(module.head.bias, 0.25)  # type: ignore[arg-type]  # this convolution has one
    found = module(torch.rand(1, 16, 8, 8), torch.full((1, 1, 4, 4), 1.5), torch.rand(1, 8, 16, 16))
    torch.testing.assert_close(found, torch.full((1, 1, 8, 8), 1.75))


@EACH
def test_it_trains_on_batches_of_two(backbone: Backbone) -> None:
    network = small(backbone).train()
    output = network(torch.rand(2, 1, 64, 64))
    total = torch.stack([part.square().sum() for part in (*output.side_logits, *output.edge_logits)]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]
