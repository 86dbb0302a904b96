"""Random weights in the form of torchvision's ImageNet VGG-16."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from jcs_ct.models.vgg import PAPER_WIDTHS, TORCHVISION_INDEX, VGGEncoder


def write_imagenet(path: Path) -> VGGEncoder:
    """Write them, and give the encoder of one input channel that they belong to."""
    torch.manual_seed(0)
    wide = VGGEncoder(PAPER_WIDTHS)
    state = {}
    for index, convolution in zip(TORCHVISION_INDEX, wide.convolutions(), strict=True):
        weight = convolution.weight.detach()
        state[f"{index}.weight"] = weight.repeat(1, 3, 1, 1) / 3 if index == 0 else weight
        assert convolution.bias is not None
        state[f"{index}.bias"] = convolution.bias.detach()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return wide
