"""Every network by name, in its two sizes. A new one is one file and one line here; all model tests then apply."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from jcs_ct.models.classifier import Classifier
from jcs_ct.models.joint import JointModel
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmenter
from jcs_ct.models.vgg import PAPER_WIDTHS

SIZES = ("paper", "default")
"""`paper`: Res2Net-50 as published, VGG-16 widths. `default`: narrower, for two CPU cores; its weights ship."""


def classifier(size: str) -> Classifier:
    """The slice classifier; the default size keeps a stride of 16, so that its map shows smaller opacities."""
    if size == "paper":
        return Classifier(Res2NetBackbone())
    return Classifier(Res2NetBackbone(channels=(32, 64, 128, 192), output_stride=16), dropout=0.2)


def segmenter(size: str) -> Segmenter:
    """The lesion segmenter."""
    if size == "paper":
        return Segmenter(PAPER_WIDTHS)
    return Segmenter((32, 64, 128, 192, 192), decoder_widths=(16, 32, 48, 64, 64))


def joint(size: str) -> JointModel:
    """Classifier and segmenter with combined features."""
    return JointModel(classifier(size), segmenter(size))


MODELS: dict[str, Callable[[str], nn.Module]] = {"classifier": classifier, "segmenter": segmenter, "joint": joint}


def build(name: str, size: str = "default") -> nn.Module:
    """A network by name with random weights.

    Raises:
        ValueError: unknown name or size.
    """
    if name not in MODELS or size not in SIZES:
        raise ValueError(f"no model {name!r} of size {size!r}; models: {', '.join(MODELS)}; sizes: {', '.join(SIZES)}")
    return MODELS[name](size)
