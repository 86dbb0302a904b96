"""MiniSeg against Qiu et al. 2021 and the authors' published model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models.peers.miniseg import AttentiveHierarchicalSpatialPyramid, Exchange, MiniSeg, Stage

STRIDES = (2, 4, 8, 16)


def network() -> MiniSeg:
    torch.manual_seed(0)
    return MiniSeg().eval()


def pyramid(channels_in: int = 8, channels_out: int = 16, stride: int = 1) -> AttentiveHierarchicalSpatialPyramid:
    torch.manual_seed(0)
    return AttentiveHierarchicalSpatialPyramid(channels_in, channels_out, stride).eval()


def silence(module: nn.Module) -> None:
    """Every weight 0, so that what the module says no longer depends on what it is given."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


@torch.inference_mode()
def change(function: Callable[[], Tensor], part: nn.Module) -> Tensor:
    """How much the output of a function changes, element by element, when a part of the network is silenced."""
    before = function()
    silence(part)
    return (function() - before).abs()


def test_the_count_of_parameters_is_the_published_one() -> None:
    # Published: 82.91 K (title page: "83K"; the authors' model at github.com/yun-liu/MiniSeg: 82,912), of colour
    # pictures and two logits. Fewer here: two input channels in two convolutions, one logit and its bias at four
    # levels, the biases of four 1×1 convolutions before a batch normalization.
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in MiniSeg().parameters())
    grey, one_logit, biases = 2 * (9 * 8 + 8), 8 + 24 + 32 + 64 + 4, 8 + 24 + 32 + 64
    assert count == 82_912 - grey - one_logit - biases
    assert count == pytest.approx(82_910, rel=0.01)


def test_side_outputs_have_strides_2_to_16_finest_first() -> None:
    with torch.inference_mode():
        output = network()(torch.rand(2, 1, 64, 96))
    assert [side.shape for side in output.side_logits] == [(2, 1, 64 // s, 96 // s) for s in STRIDES]
    assert output.logits.shape == (2, 1, 64, 96)


def test_odd_sizes_keep_every_pixel() -> None:
    for height, width in ((97, 131), (33, 40)):
        with torch.inference_mode():
            output = network()(torch.rand(2, 1, height, width))
        assert output.logits.shape == (2, 1, height, width)
        expected = [(-(-height // s), -(-width // s)) for s in STRIDES]
        assert [side.shape[-2:] for side in output.side_logits] == expected


def test_branches_have_dilations_1_2_4_8_and_the_first_stage_has_none() -> None:
    rates = [layer.dilation[0] for layer in pyramid().branches.modules() if isinstance(layer, nn.Conv2d)]
    assert rates == [1, 2, 4, 8]
    layers = [layer for layer in network().first.modules() if isinstance(layer, nn.Conv2d)]
    assert {layer.dilation for layer in layers} == {(1, 1)}


@pytest.mark.parametrize("index", range(4))
def test_a_branch_reaches_its_own_quarter_and_those_of_larger_dilations(index: int) -> None:
    module, x = pyramid(), torch.rand(1, 8, 20, 20)
    quarters = change(lambda: module(x), module.branches[index]).reshape(4, -1).amax(1)
    assert (quarters > 0).tolist() == [quarter >= index for quarter in range(4)]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_pyramid_without_its_branches_is_the_pooled_input_and_half_of_it_again(stride: int) -> None:
    module = AttentiveHierarchicalSpatialPyramid(1, 4, stride).eval()
    silence(module.branches)
    silence(module.attention)  # the sigmoid of 0 is 1/2
    nn.init.ones_(module.reduce.weight)
    nn.init.ones_(module.fuse.weight)
    x = torch.rand(2, 1, 9, 12)
    with torch.inference_mode():
        found = module(x)
    pooled = 1.5 * F.avg_pool2d(x, 3, stride, padding=1)
    torch.testing.assert_close(found, pooled.expand(-1, 4, -1, -1), rtol=1e-4, atol=1e-5)


def test_each_quarter_has_its_own_attention() -> None:
    module, x = pyramid(), torch.rand(1, 8, 20, 20)
    with torch.inference_mode():
        before = module(x)
        module.attention.weight[2] *= 100
        quarters = (module(x) - before).abs().reshape(4, -1).amax(1)
    assert (quarters > 0).tolist() == [False, False, True, False]


def test_channels_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="14 channels cannot be divided into 4 equal branches"):
        AttentiveHierarchicalSpatialPyramid(8, 14)


def test_the_paths_have_as_many_blocks_as_the_papers_table() -> None:
    stages = [stage for stage in network().modules() if isinstance(stage, Stage)]
    assert [1 + len(stage.context) for stage in stages] == [3, 4, 9, 7]
    assert [1 + len(stage.detail) for stage in stages] == [2, 2, 5, 4]


def test_the_paths_exchange_what_they_know() -> None:
    exchange = Exchange(4).eval()
    paths = [torch.rand(1, 4, 5, 5, requires_grad=True) for _ in range(2)]
    for path in exchange(*paths):
        gradients = torch.autograd.grad(path.sum(), paths, retain_graph=True)
        assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)


@pytest.mark.parametrize(
    "part",
    [
        *(f"first.{name}" for name in ("context_down", "detail_down", "context.1", "detail.0")),
        *(f"stages.{k}.{name}" for k in range(3) for name in ("context_down", "detail_down", "context.1", "detail.0")),
        *(f"exchanges.{k}" for k in range(3)),
        *(f"fusions.{k}.{name}" for k in range(3) for name in ("reduce", "near", "far", "lateral")),
        "top",
    ],
)
def test_every_part_of_both_paths_and_of_the_decoder_reaches_the_finest_output(part: str) -> None:
    model, image = network(), torch.rand(1, 1, 64, 64)
    changed = change(lambda: model(image).side_logits[0], model.get_submodule(part))
    assert float(changed.max()) > 0


def test_a_batch_of_two_trains() -> None:
    model = network().train()
    output = model(torch.rand(2, 1, 33, 40))
    total = torch.stack([side.square().mean() for side in output.side_logits]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in model.parameters())
