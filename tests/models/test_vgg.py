"""The VGG-16 encoder against torchvision's."""

from __future__ import annotations

import pytest
import torch
import torchvision

from jcs_ct.models.vgg import TORCHVISION_INDEX, VGGEncoder

MEAN, STD = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))


def test_imagenet_weights_on_grey_equal_torchvisions_on_three_equal_colours() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.vgg16(weights=None).features.eval()
    for index in TORCHVISION_INDEX:
        torch.nn.init.uniform_(theirs[index].bias, -0.1, 0.1)
    ours = VGGEncoder()
    ours.load_imagenet(theirs.state_dict())
    image = torch.rand(1, 1, 96, 96)
    colours = (image.expand(-1, 3, -1, -1) - MEAN[None, :, None, None]) / STD[None, :, None, None]
    with torch.inference_mode():
        expected = theirs[:23](colours)  # up to conv4_3's ReLU, the fourth block
        found = ours.eval()(image)
    # Zero padding meets the folded shift at the border only; conv4_3 sees 44 pixels each way, so its centre is free.
    torch.testing.assert_close(found[0][..., 2:-2, 2:-2], theirs[:4](colours)[..., 2:-2, 2:-2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[3][..., 6:-6, 6:-6], expected[..., 6:-6, 6:-6], rtol=1e-3, atol=1e-6)


def test_imagenet_weights_fill_all_thirteen_convolutions() -> None:
    encoder = VGGEncoder()
    state = {}
    for value, (index, convolution) in enumerate(zip(TORCHVISION_INDEX, encoder.convolutions(), strict=True)):
        channels = 3 if index == 0 else convolution.in_channels
        state[f"{index}.weight"] = torch.full((convolution.out_channels, channels, 3, 3), float(value))
        state[f"{index}.bias"] = torch.full((convolution.out_channels,), 100.0 + value)
    encoder.load_imagenet(state)
    for value, convolution in list(enumerate(encoder.convolutions()))[1:]:
        assert convolution.bias is not None
        assert float(convolution.weight.detach().mean()) == value
        assert float(convolution.bias.detach().mean()) == 100 + value


def test_imagenet_weights_fit_the_full_width_only() -> None:
    with pytest.raises(ValueError, match="ImageNet weights fit widths"):
        VGGEncoder((8, 8, 8, 8, 8)).load_imagenet({})


def test_five_widths_are_needed() -> None:
    with pytest.raises(ValueError, match="expected 5 block widths, found 3"):
        VGGEncoder((8, 8, 8))
