"""What is trained: the systems of every table, and three presets of length and size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jcs_ct.training.config import AugmentSettings, BatchGroup, TrainConfig

MASKED = BatchGroup(4, ("covid-19-ct100",), "masked")
"""One protocol for all: the training slices of the 50/48 split, and nothing else."""
LABELLED = BatchGroup(4, ("sars-cov-2-ct",))
"""Further training data of the joint model's classifier."""
EXPLAINED = (
    BatchGroup(10, ("sars-cov-2-ct",)),
    BatchGroup(4, ("covid-19-ct100",), "masked"),
    BatchGroup(2, ("mosmed-slices",)),
)
"""Training data of the classifiers of Figure 9: labels, and masks that only L_seg uses."""


@dataclass(frozen=True)
class System:
    """One trained system of a table."""

    name: str
    """In the registry of segmenters, "joint", or "classifier"."""
    label: str
    settings: dict[str, Any] = field(default_factory=dict)
    paper: tuple[float, float, float] | None = None
    """The paper's Dice, IoU and E-measure in percent, on its own data (Tables V to VII)."""
    published: float | None = None
    """Dice in percent on the 50/48 split at the adaptive threshold (Fan et al., TMI 2020, Table II)."""
    shortfall: str = ""
    """Why it falls short of the published figure; of our system, why it is behind a peer."""
    times: int = 1
    """Factor on the preset's number of steps."""
    continued: bool = False
    """Continues from the finished segmenter, for as many steps as the joint model."""

    @property
    def key(self) -> str:
        """Name of its runs' folders."""
        name = f"{self.name}-continued" if self.continued else self.name
        name += f"-x{self.times}" if self.times > 1 else ""
        return "-".join([name, *(f"{k}={v}" for k, v in self.settings.items())])


JCS = System(
    "segmenter", "JCS, segmentation alone", paper=(77.5, 65.4, 92.0),
    shortfall="The side outputs of JCS start at a probability of one half everywhere, their bias moves by little in "
    "so few steps, and on healthy tissue its probability stays several times as high as theirs (MAE). As Table VI "
    "shows, it is level with them after half as many steps more.",
)  # fmt: skip
JOINT = System("joint", "JCS, with the classifier's features", paper=(78.5, 66.4, 92.7))
CONTINUED = System("segmenter", "JCS, segmentation alone, for as many steps as the joint model", continued=True)
"""Control for the joint model, which starts from the segmenter and trains further: further training alone."""
ABLATION = (
    System("segmenter-plain", "neither EFM nor AFF", paper=(71.0, 57.7, 88.0)),
    System("segmenter-efm", "EFM", paper=(74.3, 61.4, 88.9)),
    System("segmenter-aff", "AFF", paper=(75.9, 63.4, 90.9)),
    dataclasses.replace(JCS, label="EFM and AFF"),
    System("segmenter", "EFM and AFF, without deep supervision", {"deep_supervision": False}),
)
"""Systems of Table V, and a row of our own."""
LEARNS_BADLY = 0.7
"""Validation Dice below which a peer is also trained at other learning rates."""
PEERS = (
    System(
        "unet",
        "U-Net",
        paper=(65.1, 54.1, 79.7),
        published=53.2,
        shortfall="It starts from random weights, for which the common number of steps is small; the row with three "
        "times the steps shows what more of them give.",
    ),
    System("unet", "U-Net, three times the steps", published=53.2, times=3),
    System("dss", "DSS", paper=(65.7, 51.7, 79.9)),
    System("egnet", "EGNet", paper=(69.3, 55.4, 83.6)),
    System("poolnet", "PoolNet", paper=(69.7, 55.9, 83.9)),
    System("poolnet-edges", "PoolNet, with edges"),
    System(
        "infnet",
        "Inf-Net, Res2Net",
        published=72.7,
        shortfall="Its published encoder is an ImageNet Res2Net-50 trained at 352 × 352; here a smaller Res2Net "
        "has learned VGG-16's features in a few hundred steps. With the encoder that the others start from "
        "(Inf-Net, VGG) its decoder does better.",
    ),
    System("infnet-vgg", "Inf-Net, VGG"),
    System("miniseg", "MiniSeg"),
)
"""Systems of Table VII, and two beyond it."""


def is_peer(system: System) -> bool:
    """Whether a system is a peer, not ours."""
    return system.name in {peer.name for peer in PEERS}


MAPS = (
    System("classifier", "as is", {"mixing": 0.0, "map_weight": 0.0}),
    System("classifier", "mixing", {"mixing": 0.5, "map_weight": 0.0}),
    System("classifier", "mixing and L_seg", {"mixing": 0.5, "map_weight": 20.0}),
)
"""Systems of Figure 9."""
COMPARED = (*PEERS, dataclasses.replace(JCS, label="JCS, segmentation alone"), JOINT)
EVERY = tuple({system.key: system for system in (*ABLATION, *COMPARED, CONTINUED)}.values())


@dataclass(frozen=True)
class Preset:
    """Length, size and repetitions of the trainings."""

    name: str
    seeds: tuple[int, ...]
    size: str
    input_size: tuple[int, int]
    settings: dict[str, Any]
    classifier_settings: dict[str, Any]
    """Override `settings` for classifiers."""
    backbone_steps: int
    """Steps of the Res2Net's warm start from an ImageNet encoder; 0 for none."""
    joint_steps: int
    case_slices: int
    """Number of slices of the timed cases."""
    peer_rates: tuple[float, ...] = ()
    """Further learning rates for peers that learn badly at the preset's; see `evaluated.at_its_rate`."""
    few_seeds: int | None = None
    """Number of seeds for peers and for the classifiers of Figure 9; all if None."""
    slices: int | None = None
    """Number of evaluated test slices; all if None."""
    explained_factor: int = 1
    """Factor on the batch sizes of `EXPLAINED`."""

    def seeds_of(self, system: System) -> tuple[int, ...]:
        """Seeds that a system is trained with."""
        return self.seeds[: self.few_seeds] if is_peer(system) or system.name == "classifier" else self.seeds

    @property
    def map_size(self) -> tuple[int, int]:
        """Input size of classifiers."""
        size: tuple[int, int] = self.classifier_settings.get("input_size", self.input_size)
        return size


_LIGHT = AugmentSettings(
    rotate=20.0, scale=(0.75, 1.3), elastic=0.008, contrast=0.1, level=0.05, blur=0.2, noise=0.02
)  # fmt: skip
PRESETS = {
    "smoke": Preset("smoke", (0,), "default", (64, 96), {"steps": 2, "validate_every": 2}, {}, 2, 2, 40, slices=6),
    "cpu": Preset(
        "cpu",
        (0, 1, 2),
        "default",
        (192, 256),
        {"steps": 300, "learning_rate": 1e-3, "encoder_rate": 2e-4, "validate_every": 100, "augment": _LIGHT},
        {"steps": 160, "encoder_rate": 5e-4, "weight_decay": 1e-2, "validate_every": 80},
        300,
        150,
        300,
        peer_rates=(3e-4,),
        few_seeds=2,
    ),
    "paper": Preset(
        "paper",
        (0, 1, 2),
        "paper",
        (512, 512),
        {
            "steps": 21_000,
            "optimiser": "adam",
            "learning_rate": 2.5e-5,
            "weight_decay": 5e-4,
            "schedule": "poly",
            "ema": None,
            "validate_every": 500,
        },
        {
            "input_size": (224, 224),
            "steps": 1_000,
            "optimiser": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 1e-4,
            "schedule": "step",
        },
        0,
        21_000,
        300,
        explained_factor=16,
    ),
}
"""`smoke` tests the machinery, `cpu` makes the published results, `paper` is as in the paper and needs a GPU."""

HAS_VGG_ENCODER = frozenset(s.name for s in EVERY) - {"unet", "infnet", "miniseg", "joint"}
STARTS = {"infnet": ("backbone",), **dict.fromkeys(HAS_VGG_ENCODER, ("encoder",))}
"""ImageNet weights that systems start from: VGG-16's encoder, or the Res2Net distilled from it. U-Net and MiniSeg start
from random weights, as in their papers."""
EXACT = frozenset({"miniseg"})
"""Always trained in fp32: on a CPU torch's bf16 gradient of a dilated depthwise convolution is not finite."""
LEARN_ON_RATE = 1e-4
"""Learning rate of pretrained parts in the joint model and in the continued segmenter."""


def config_of(system: System, preset: Preset, seed: int, starts: dict[str, Path], precision: str) -> TrainConfig:
    """The training of one system.

    Args:
        system: which.
        preset: how long and how large.
        seed: of data, augmentation and weights.
        starts: weights to start from: `encoder`, `backbone`, and for the joint model `classifier` and `segmenter`.
        precision: Lightning's.
    """
    settings = preset.settings | system.settings
    settings["steps"] *= system.times
    if system.name == "classifier":
        settings = preset.settings | preset.classifier_settings | system.settings
        batch = tuple(dataclasses.replace(group, count=group.count * preset.explained_factor) for group in EXPLAINED)
        return _config("classifier", batch, settings, ("backbone",), preset, seed,
                       starts, precision)  # fmt: skip
    if system.name == "joint":
        settings |= {"steps": preset.joint_steps, "mixing": 0.5, "map_weight": 20.0, "encoder_rate": LEARN_ON_RATE}
        settings["validate_every"] = min(settings["validate_every"], preset.joint_steps)
        return _config("joint", (MASKED, LABELLED), settings, ("classifier", "segmenter"), preset, seed, starts,
                       precision)  # fmt: skip
    settings |= {"network": system.name}
    precision = "32-true" if system.name in EXACT else precision
    if not system.continued:
        return _config("segmenter", (MASKED,), settings, STARTS.get(system.name, ()), preset, seed, starts, precision)
    settings |= {"steps": preset.joint_steps, "learning_rate": LEARN_ON_RATE, "encoder_rate": LEARN_ON_RATE}
    settings["validate_every"] = min(settings["validate_every"], preset.joint_steps)
    return _config("segmenter", (MASKED,), settings, ("segmenter",), preset, seed, starts, precision)


def _config(
    task: str,
    batch: tuple[BatchGroup, ...],
    settings: dict[str, Any],
    parts: tuple[str, ...],
    preset: Preset,
    seed: int,
    starts: dict[str, Path],
    precision: str,
) -> TrainConfig:
    return TrainConfig(
        task,
        batch,
        size=preset.size,
        seed=seed,
        validation=("sars-cov-2-ct",) if task == "classifier" else ("covid-19-ct100",),
        init={part: str(starts[part]) for part in parts if part in starts},
        precision=precision,
        **{"input_size": preset.input_size} | settings,
    )
