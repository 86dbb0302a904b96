"""One suite for every network in its sizes; a new registry line is tested automatically."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jcs_ct.engine import Network
from jcs_ct.models import registry
from jcs_ct.models.classifier import Classification
from jcs_ct.models.joint import JointPrediction
from jcs_ct.models.lung_network import LungPrediction
from jcs_ct.models.segmenter import Segmentation
from jcs_ct.training.export import OUTPUTS, export_onnx
from jcs_ct.training.files import load_weights, save_weights

EVERY = pytest.mark.parametrize(
    ("name", "size"),
    [pytest.param(name, size, id=f"{name}-{size}") for name in registry.MODELS for size in registry.sizes(name)],
)
ODD_SIZES = ((97, 131), (33, 40), (64, 64))


def stirred(name: str, size: str) -> nn.Module:
    """A network whose batch normalizations do something, as after training; fresh ones silence whole blocks."""
    torch.manual_seed(0)
    network = registry.build(name, size)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            ends_a_block = not bool(module.weight.any())  # timm starts these at 0
            nn.init.uniform_(module.weight, *((0.1, 0.3) if ends_a_block else (0.5, 1.5)))
            nn.init.uniform_(module.bias, -0.2, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.no_grad():
        for value in network.state_dict().values():  # as weights are stored: the way there and back is tested
            value.copy_(value.half())
    return network


def tensors(output: object) -> Iterator[Tensor]:
    """Every tensor that a network gives, in order."""
    if isinstance(output, Tensor):
        yield output
        return
    assert isinstance(output, tuple | list)
    for part in output:
        yield from tensors(part)


def check_same(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding: within 1e-3, and small beside how much the outputs vary at all."""
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= min(1e-3, 0.03 * float(expected.std()))


def exported_outputs(output: object) -> list[Tensor]:
    """What of a network's output its exported form gives as well."""
    if isinstance(output, JointPrediction):
        return [output.classification.logits, output.classification.activation_map, output.segmentation.logits]
    return [output.logits] if isinstance(output, Segmentation) else list(tensors(output))


def check_shapes(output: object, count: int, size: tuple[int, int]) -> None:
    """Logits and maps as the contract has them."""
    if isinstance(output, JointPrediction):
        check_shapes(output.classification, count, size)
        check_shapes(output.segmentation, count, size)
    elif isinstance(output, Classification):
        assert output.logits.shape == (count, 2)
        assert output.activation_map.shape[:2] == (count, 1)
        assert float(output.activation_map.min()) >= 0
        assert output.features.ndim == 2
        assert len(output.features) == count
        assert float(output.features.min()) >= 0  # atypicality takes their square roots
    elif isinstance(output, LungPrediction):
        assert output.logits.shape == (count, 2, *size)
        assert output.orientation.shape == (count, 8)
    else:
        assert isinstance(output, Segmentation)
        assert output.logits.shape == (count, 1, *size)
        heights = [side.shape[-2] for side in output.side_logits]
        assert heights == sorted(heights, reverse=True)
        assert all(side.shape[:2] == (count, 1) for side in output.side_logits)


@EVERY
def test_inputs_of_any_size_give_finite_outputs_of_the_promised_shapes(name: str, size: str) -> None:
    network = stirred(name, size).eval()
    for shape in ODD_SIZES:
        with torch.inference_mode():
            output = network(torch.rand(2, 1, *shape))
        check_shapes(output, 2, shape)
        assert all(bool(part.isfinite().all()) for part in tensors(output))


@EVERY
def test_every_parameter_learns(name: str, size: str) -> None:
    network = stirred(name, size).train()
    output = network(torch.rand(2, 1, 64, 64))
    total = torch.stack([(part * torch.randn_like(part)).sum() for part in tensors(output)]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert not [key for key, gradient in gradients.items() if gradient is None]
    found = [gradient for gradient in gradients.values() if gradient is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in found)
    # A few ReLUs are dead in a random network of few channels; a part that is cut off would be far more.
    assert np.mean([bool(gradient.abs().max() > 0) for gradient in found]) > 0.97


@EVERY
def test_training_mode_gathers_statistics_and_evaluation_does_not(name: str, size: str) -> None:
    network = registry.build(name, size)
    buffers = {key: value for key, value in network.named_buffers() if "running" in key}
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        before = {key: value.clone() for key, value in buffers.items()}
        network.eval()(image)
        assert all(torch.equal(before[key], value) for key, value in buffers.items())
        network.train()(image)
    # The VGG peers are published without batch normalization.
    assert bool(buffers) == (name not in ("dss", "egnet", "poolnet", "poolnet-edges"))
    assert not any(torch.equal(before[key], value) for key, value in buffers.items())


@EVERY
def test_one_slice_does_not_depend_on_its_neighbours_in_the_batch(name: str, size: str) -> None:
    network = stirred(name, size).eval()
    image = torch.rand(2, 1, 48, 64)
    with torch.inference_mode():
        together, alone = tensors(network(image)), tensors(network(image[1:]))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[1:], other, rtol=1e-3, atol=1e-4)


@EVERY
def test_saved_weights_give_the_same_answers(name: str, size: str, tmp_path: Path) -> None:
    network, again = stirred(name, size).eval(), registry.build(name, size).eval()
    save_weights(network, tmp_path / "weights.safetensors")
    load_weights(again, tmp_path / "weights.safetensors")
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        output, same = network(image), again(image)
    for expected, found in zip(exported_outputs(output), exported_outputs(same), strict=True):
        check_same(found, expected)
    for expected, found in zip(tensors(output), tensors(same), strict=True):
        check_same(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


@EVERY
def test_the_exported_network_gives_the_same_answers(name: str, size: str, tmp_path: Path) -> None:
    network = stirred(name, size).eval()
    save_weights(network, tmp_path / "network.safetensors")
    export_onnx(network, name, (64, 128), tmp_path / "network.onnx", tmp_path / "network.safetensors")
    slices = np.random.default_rng(0).integers(0, 256, (5, 64, 128), dtype=np.uint8)
    with torch.inference_mode():
        expected = exported_outputs(network(torch.from_numpy(slices)[:, None].float() / 255))
    engine = Network(tmp_path / "network.onnx", threads=1)
    found = [np.concatenate(column) for column in zip(*engine.run(slices), strict=True)]
    assert engine.input_size == (64, 128)
    assert len(found) == len(expected) == len(OUTPUTS[name])
    for own, wanted in zip(found, expected, strict=True):
        check_same(torch.from_numpy(own), wanted)


@EVERY
def test_pictures_of_three_colours_are_refused(name: str, size: str) -> None:
    with pytest.raises(ValueError, match=r"expected a tensor of shape \(N, 1, H, W\), found \(1, 3, 64, 64\)"):
        registry.build(name, size)(torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize(("name", "millions"), [("segmenter", 43.69), ("classifier", 23.65)])
def test_the_paper_size_is_the_papers(name: str, millions: float) -> None:
    count = sum(parameter.numel() for parameter in registry.build(name, "paper").parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(("name", "size"), [("unet9000", "default"), ("segmenter", "huge")])
def test_unknown_networks_are_refused_with_what_is_known(name: str, size: str) -> None:
    with pytest.raises(ValueError, match="models: classifier, segmenter, segmenter-plain"):
        registry.build(name, size)
