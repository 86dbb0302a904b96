"""DSS against its paper's Table 1 and the pattern of its short connections."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jcs_ct.engine import Network
from jcs_ct.models.peers.dss import DSS, SIDES
from jcs_ct.models.vgg import PAPER_WIDTHS
from jcs_ct.training.export import export_onnx
from jcs_ct.training.files import save_weights

WIDTHS = (8, 8, 16, 16, 16)
REACHES = ({0, 2, 3, 4, 5}, {1, 2, 3, 4, 5}, {2, 4, 5}, {3, 4, 5}, {4}, {5})
"""For each side output, finest first, the levels whose own scores it depends on."""


def small() -> DSS:
    torch.manual_seed(0)
    return DSS(WIDTHS).eval()


def scores(*, requires_grad: bool = False) -> list[Tensor]:
    """Score maps of the six levels of a picture of 64×64."""
    torch.manual_seed(1)
    return [torch.randn(1, 1, 64 // s, 64 // s, requires_grad=requires_grad) for s in (1, 2, 4, 8, 16, 32)]


def test_the_parameter_count_is_the_published_one() -> None:
    """62.23 M: Liu et al., Intell. Robot. 2024;4(4):503-523, Table 2; one colour instead of three saves 1152."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in DSS(PAPER_WIDTHS).parameters())
    assert (count + 1152) / 1e6 == pytest.approx(62.23, abs=0.005)


def test_the_side_outputs_have_the_channels_and_kernels_of_table_1() -> None:
    with torch.device("meta"):
        branches = DSS().branches
    found = [
        [tuple(conv.weight.shape) for conv in branch.modules() if isinstance(conv, nn.Conv2d)] for branch in branches
    ]
    wanted = [(64, 128, 3), (128, 128, 3), (256, 256, 5), (512, 256, 5), (512, 512, 5), (512, 512, 7)]
    assert found == [[(n, c, k, k), (n, n, k, k), (1, n, 1, 1)] for c, n, k in wanted]


@pytest.mark.parametrize("size", [(97, 131), (33, 33), (64, 96)])
def test_six_side_outputs_finest_first_at_strides_1_to_32(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        output = small()(torch.rand(2, 1, *size))
    assert output.logits.shape == (2, 1, *size)
    blocks = [tuple(length // stride for length in size) for stride in (1, 2, 4, 8, 16)]
    top = tuple(math.ceil(length / 2) for length in blocks[-1])
    assert [tuple(side.shape) for side in output.side_logits] == [(2, 1, *shape) for shape in (*blocks, top)]
    assert bool(output.logits.isfinite().all())


def test_short_connections_reach_where_the_paper_has_them_and_nowhere_else() -> None:
    own = scores(requires_grad=True)
    for side, wanted in zip(small().connect(own), REACHES, strict=True):
        gradients = torch.autograd.grad(side.sum(), own, retain_graph=True, materialize_grads=True)
        assert {level for level, gradient in enumerate(gradients) if gradient.any()} == wanted


@pytest.mark.parametrize(
    ("place", "heard"), [(place, k) for place, side in enumerate(SIDES) for k in range(len(side.hears))]
)
def test_every_short_connection_changes_its_side_output_and_the_fused_one(place: int, heard: int) -> None:
    network, image = small(), torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        before = network(image)
        network.get_parameter(f"connections.{place}.weight")[0, 1 + heard] = 0
        after = network(image)
    # Connections lead to finer places only.
    changed = [not torch.equal(one, other) for one, other in zip(before.side_logits, after.side_logits, strict=True)]
    assert changed[place]
    assert not any(changed[place + 1 :])
    assert not torch.equal(before.logits, after.logits)


def test_a_connection_and_the_fusion_start_as_means() -> None:
    network = small()
    with torch.inference_mode():
        sides = network.connect([torch.full_like(score, level) for level, score in enumerate(scores())])
    third, rest = (2 + 4 + 5) / 3, (3 + 4 + 5) / 3 + 4 + 5  # levels count from 0
    wanted = [(0 + third + rest) / 5, (1 + third + rest) / 5, third, 4, 4, 5]
    assert [float(side.mean()) for side in sides] == pytest.approx(wanted)
    torch.testing.assert_close(network.fuse(torch.arange(6.0)[None, :, None, None]), torch.full((1, 1, 1, 1), 2.5))


def test_every_side_output_counts_in_the_fused_one() -> None:
    output = small()(torch.rand(1, 1, 64, 64))
    gradients = torch.autograd.grad(output.logits.sum(), output.side_logits)
    assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)


def test_the_exported_network_gives_the_same_answers(tmp_path: Path) -> None:
    network = small()
    save_weights(network, tmp_path / "network.safetensors")
    export_onnx(network, "segmenter", (64, 96), tmp_path / "network.onnx", tmp_path / "network.safetensors")
    slices = np.random.default_rng(0).integers(0, 256, (2, 64, 96), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(slices)[:, None].float() / 255).logits
    (found,) = zip(*Network(tmp_path / "network.onnx", threads=1).run(slices), strict=True)
    difference = (torch.from_numpy(np.concatenate(found)) - expected).abs().max()
    assert float(difference) <= min(1e-3, 0.03 * float(expected.std()))


def test_a_batch_of_two_trains_every_parameter() -> None:
    network = small().train()
    output = network(torch.rand(2, 1, 64, 64))
    torch.stack([(part * torch.randn_like(part)).sum() for part in output.side_logits]).sum().backward()  # type: ignore[no-untyped-call]
    silent = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == ["fuse.weight", "fuse.bias"]


def test_fewer_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 5 block widths, found 2"):
        DSS((8, 8))
