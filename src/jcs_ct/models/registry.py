"""Every network by name and size. A new one is one file and one line here; all model tests then apply."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from jcs_ct.models.classifier import Classifier
from jcs_ct.models.joint import JointModel
from jcs_ct.models.lung_network import LungNetwork
from jcs_ct.models.peers.dss import DSS
from jcs_ct.models.peers.egnet import EGNet
from jcs_ct.models.peers.infnet import InfNet
from jcs_ct.models.peers.miniseg import MiniSeg
from jcs_ct.models.peers.poolnet import PoolNet
from jcs_ct.models.peers.unet import UNet
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmenter
from jcs_ct.models.vgg import PAPER_WIDTHS

SIZES = ("paper", "default", "teacher")
"""`paper`: Res2Net-50 as published, VGG-16 widths. `default`: narrower, for two CPU cores; its weights ship.
`teacher`: the paper's encoders, which ImageNet weights fit, with a decoder light enough to be trained on two CPU cores;
it labels slices that the default learns from."""

DEFAULT_WIDTHS = (32, 64, 128, 192, 192)
"""Channels of the default encoder's five blocks; peers of the default size have them too, so that one narrowed ImageNet
encoder starts them all."""


def classifier(size: str) -> Classifier:
    """The slice classifier; the default size keeps a stride of 16, so that its map shows smaller opacities."""
    if size == "paper":
        return Classifier(Res2NetBackbone())
    return Classifier(Res2NetBackbone(channels=(32, 64, 128, 192), output_stride=16), dropout=0.2)


def segmenter(size: str, *, enhanced: bool = True, attentive: bool = True) -> Segmenter:
    """The lesion segmenter; without EFM (`enhanced`) or AFF (`attentive`) for the ablation of Table V."""
    widths, decoder_widths = {
        "paper": (PAPER_WIDTHS, None),
        "teacher": (PAPER_WIDTHS, (32, 48, 64, 96, 128)),
        "default": (DEFAULT_WIDTHS, (16, 32, 48, 64, 64)),
    }[size]
    return Segmenter(widths, decoder_widths, enhanced=enhanced, attentive=attentive)


def joint(size: str) -> JointModel:
    """Classifier and segmenter with combined features."""
    return JointModel(classifier(size), segmenter(size))


def lungs(size: str) -> LungNetwork:
    """The lung network, of one size: it is small already."""
    del size
    return LungNetwork()


def _vgg_widths(size: str) -> tuple[int, ...]:
    return PAPER_WIDTHS if size == "paper" else DEFAULT_WIDTHS


SEGMENTERS: dict[str, Callable[[str], nn.Module]] = {
    "segmenter": segmenter,
    "segmenter-plain": lambda size: segmenter(size, enhanced=False, attentive=False),
    "segmenter-efm": lambda size: segmenter(size, attentive=False),
    "segmenter-aff": lambda size: segmenter(size, enhanced=False),
    "unet": lambda size: UNet() if size == "paper" else UNet((16, 32, 64, 128, 256)),
    "dss": lambda size: DSS(_vgg_widths(size)),
    "egnet": lambda size: EGNet(_vgg_widths(size)),
    "poolnet": lambda size: PoolNet(_vgg_widths(size)),
    "poolnet-edges": lambda size: PoolNet(_vgg_widths(size), edges=True),
    "infnet": lambda size: InfNet(widths=None if size == "paper" else (32, 64, 128, 192)),
    "infnet-vgg": lambda size: InfNet("vgg", _vgg_widths(size)),
    "miniseg": lambda size: MiniSeg(),  # as published in both sizes: it is small already
}
"""Our segmenter, its ablation variants and its peers; all return a `Segmentation`."""
MODELS: dict[str, Callable[[str], nn.Module]] = {
    "classifier": classifier,
    **SEGMENTERS,
    "joint": joint,
    "lungs": lungs,
}


def sizes(name: str) -> tuple[str, ...]:
    """The sizes in which a network exists; only the segmenter has a teacher."""
    return SIZES if name == "segmenter" else ("paper", "default")


def build(name: str, size: str = "default") -> nn.Module:
    """A network by name with random weights.

    Raises:
        ValueError: unknown name or size.
    """
    if name not in MODELS or size not in sizes(name):
        raise ValueError(f"no model {name!r} of size {size!r}; models: {', '.join(MODELS)}; sizes: {', '.join(SIZES)}")
    return MODELS[name](size)
