"""Settings of a training run: YAML in, checked dataclasses out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jcs_ct.datasets.folds import Fold
from jcs_ct.errors import UsageError
from jcs_ct.models.registry import SEGMENTERS, SIZES

_PLAIN: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "tuple": (tuple,),
    "dict": (dict,),
}

TASKS = ("classifier", "segmenter", "joint", "encoder", "backbone", "lungs")
OWN_CONFIGS = Path(__file__).parent / "own"
OPTIMISERS = ("adamw", "adam", "sgd")
SCHEDULES = ("onecycle", "poly", "step")
KINDS = ("any", "masked", "outlined", "infected", "uninfected")


@dataclass(frozen=True)
class AugmentSettings:
    """How far training slices are changed, each amount drawn evenly within the range."""

    flip: bool = True
    """Left-right and top-bottom, each in half of the draws."""
    flip_vertical: bool = True
    """Whether `flip` turns top-bottom as well; the paper's recipe does not."""
    quarter_turn: float = 0.0
    """Share of draws turned by 90 degrees, for sources of unknown orientation."""
    rotate: float = 15.0
    """Degrees, both ways."""
    scale: tuple[float, float] = (0.7, 1.25)
    """Size of the lungs in the picture."""
    shift: float = 0.06
    """Share of the picture, both ways."""
    elastic: float = 0.015
    """Largest displacement of a coarse random field, as a share of the picture."""
    gamma: float = 0.25
    """Largest change of log(gamma)."""
    level: float = 0.06
    """Largest shift of grey, as a share of the window."""
    contrast: float = 0.15
    """Largest relative change of contrast."""
    blur: float = 0.3
    """Share of draws that are blurred."""
    noise: float = 0.04
    """Largest standard deviation of added noise."""
    domes: float = 0.0
    """Share of slices that get a round organ which rises into the lung, with an empty mask; see `synthetic_mimics`."""
    thick: float = 0.0
    """Share of slices that are averaged with their own smaller copy, as thick slices are."""
    pasted: float = 0.0
    """Share of the slices with an empty mask that get the opacities of another slice of the batch."""
    painted: float = 0.0
    """Share of the slices with an empty mask that get painted opacities; see `synthetic_lesions`."""
    window: float = 0.0
    """Share of draws whose darkest and brightest grey is cut off, as by a narrower window."""
    coarse: float = 0.0
    """Share of draws that are reduced in size and enlarged again."""
    jpeg: float = 0.0
    """Share of draws that are compressed as JPEG of quality 30 to 90."""


@dataclass(frozen=True)
class BatchGroup:
    """Part of every batch, drawn from one kind of slice."""

    count: int
    """Slices of this group in a batch."""
    sources: tuple[str, ...]
    """Names of data sources; drawn from each alike. `own` is the folder of own data that `--data` names."""
    kind: str = "any"
    """`masked` (has a lesion mask), `infected`, `uninfected` (an empty mask), `outlined` (a lesion mask or an empty
    one, drawn alike where there are both) or `any`."""
    pseudo: bool = False
    """Take masks that `pseudo_masks` predicts in place of a reader's."""

    def __post_init__(self) -> None:
        _expect_types(self)
        _expect_one_of("kind of a batch group", self.kind, KINDS)
        if self.count < 1 or not self.sources:
            raise UsageError("config: expected count >= 1 and at least one source in each batch group")


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    task: str
    """`classifier`, `segmenter`, `joint`, `lungs`, `encoder` (narrow VGG-16) or `backbone` (warm start of Res2Net)."""
    batch: tuple[BatchGroup, ...]
    steps: int
    """Optimiser steps."""
    size: str = "default"
    """`paper`, `default` or `teacher`."""
    input_size: tuple[int, int] = (224, 288)
    """Height and width that the network sees."""
    seed: int = 0
    network: str = "segmenter"
    """Which segmenter the task `segmenter` trains: ours or a peer, by its name in the registry."""
    optimiser: str = "adamw"
    """`adamw`, `adam` or `sgd`."""
    learning_rate: float = 1e-3
    encoder_rate: float | None = None
    """Learning rate of what was warm-started; the same as `learning_rate` if absent."""
    frozen_blocks: int = 0
    """First blocks of a warm-started VGG encoder that stay as they are: a quarter of the time for two of them."""
    head_only: bool = False
    """Only the last layer of a classifier learns, which takes it to where a few hundred steps of the whole network do
    not (Kirichenko et al., ICLR 2023). Of the layers below, only the running statistics follow the batches."""
    weight_decay: float = 1e-4
    schedule: str = "onecycle"
    """`onecycle`, `poly` (power 0.9) or `step` (divided by ten after each 30 % of the steps, as the paper
    does after 30, 60 and 90 of 100 epochs)."""
    ema: float | None = 0.99
    """Decay of the averaged weights that are validated and kept; none if absent."""
    mixing: float = 0.0
    """α of equation (3); 0 turns mixing off."""
    map_weight: float = 0.0
    """Weight of L_seg, equation (4)."""
    lesion_weight: float = 0.0
    """Weight of equation (6) between the classifier's map, not normalized, and the masks; see `LesionReading`."""
    off_target_weight: float = 0.0
    """Weight of the share of the classifier's map that lies far from the lungs; see `off_target_share`."""
    burden_weight: float = 0.0
    """Weight of the cross-entropy between a segmenter's lesion burden and the slices' labels; see `LesionBurden`. With
    it, slices whose mask is not known may be in the batches of a segmenter, and teach by their labels alone."""
    label_smoothing: float = 0.0
    prior: float | None = None
    """Share of pixels that are lesion, from which a new segmenter's side outputs start; one half if absent."""
    deep_supervision: bool = True
    """Loss on all five side outputs, equation (6), or on the last alone."""
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    validate_every: int = 100
    """Steps between looks at the validation data."""
    validation: tuple[str, ...] = ()
    """Sources whose validation slices choose the checkpoint; those of the batch if empty."""
    train_on_validation: tuple[str, ...] = ()
    """Sources whose validation slices are trained on as well, once they have helped to choose the settings. The last
    weights are kept then, as validation no longer tells which are best."""
    fold: str | None = None
    """`SOURCE:KofN`, as in `sars-cov-2-ct:1of5`: slices of that source are dealt into folds by group, in place of
    the split that it comes with; the K-th is kept for testing, the next one validates, the others are trained on."""
    init: dict[str, str] = field(default_factory=dict)
    """Safetensors to start from, by part: `encoder`, `backbone`, `classifier`, `segmenter`; `shipped` stands for the
    classifier or the segmenter that comes with the package."""
    pseudo_masks: str | None = None
    """Segmenter weights (safetensors) that label infected slices without a mask, of the groups marked `pseudo` or,
    where none is, of all."""
    pseudo_size: str = "default"
    """Size of the network that `pseudo_masks` holds."""
    pseudo_limit: int | None = None
    """Label at most so many slices of each source, an even choice of them; all if absent."""
    crop: tuple[int, int] | None = None
    """Height and width of a random part of each augmented slice that is trained on, at the slice's own scale; the
    whole slice if absent."""
    precision: str = "32-true"
    """Lightning's; `bf16-mixed` on a GPU."""

    def __post_init__(self) -> None:
        _expect_types(self)
        _expect_one_of("task", self.task, TASKS)
        _expect_one_of("network", self.network, tuple(SEGMENTERS))
        _expect_one_of("size", self.size, SIZES)
        _expect_one_of("pseudo_size", self.pseudo_size, SIZES)
        _expect_one_of("optimiser", self.optimiser, OPTIMISERS)
        _expect_one_of("schedule", self.schedule, SCHEDULES)
        if self.size == "teacher" and (self.task not in ("segmenter", "encoder") or self.network != "segmenter"):
            raise UsageError(f"config: found size 'teacher' for {self.task} {self.network}, expected paper or default")
        sides = list(self.input_size)  # of any length, as YAML may have it
        if len(sides) != 2 or min(sides) < 1:
            raise UsageError(f"config: found input_size {self.input_size}, expected height and width")
        if self.validate_every < 1:
            raise UsageError(f"config: found validate_every {self.validate_every}, expected at least 1")
        if self.steps < 1 or not self.batch:
            raise UsageError("config: expected steps >= 1 and at least one batch group")
        if any(group.pseudo for group in self.batch) and not self.pseudo_masks:
            raise UsageError("config: a batch group is marked `pseudo`, but `pseudo_masks` names no segmenter weights")
        if not 0 <= self.frozen_blocks <= 5:
            raise UsageError(f"config: found frozen_blocks {self.frozen_blocks}, expected 0 to 5")
        if self.fold is not None:
            Fold.parse(self.fold)
        if self.head_only and (self.task != "classifier" or "classifier" not in self.init):
            raise UsageError("config: found head_only, expected it for a classifier that `init` names weights of only")
        if self.burden_weight and self.task != "segmenter":
            raise UsageError(f"config: found burden_weight for a {self.task}, expected it for a segmenter only")
        if self.prior is not None and not 0 < self.prior < 1:
            raise UsageError(f"config: found prior {self.prior}, expected a share of pixels above 0 and below 1")
        if self.mixing < 0:
            raise UsageError(f"config: found mixing {self.mixing}, expected alpha >= 0")

    @property
    def batch_size(self) -> int:
        """Slices in a batch."""
        return sum(group.count for group in self.batch)


def own_config(task: str) -> Path:
    """The settings for training on own data that come with the package.

    Raises:
        UsageError: there are none for this task.
    """
    path = OWN_CONFIGS / f"{task}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in OWN_CONFIGS.glob("*.yaml")))
        raise UsageError(f"found no --config, expected one for {task}: settings for own data come with {known} only")
    return path


def load_config(path: Path, **overrides: Any) -> TrainConfig:
    """Read a YAML file; `overrides` that are not None win over it.

    Raises:
        UsageError: the file is not readable, or a key or value is not one of `TrainConfig`.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the config {path}: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping of settings, found {type(raw).__name__}")
    raw |= {key: value for key, value in overrides.items() if value is not None}
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    if unknown := sorted(set(raw) - known):
        raise UsageError(f"{path}: unknown settings {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        raw["batch"] = tuple(BatchGroup(**_frozen(group)) for group in raw.get("batch") or ())
        raw["augment"] = AugmentSettings(**_frozen(raw.get("augment", {})))
        return TrainConfig(**_frozen(raw))
    except UsageError as error:
        raise UsageError(f"{path}: {str(error).removeprefix('config: ')}") from error
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{path}: {error}") from error


def _frozen(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with YAML's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def _expect_one_of(name: str, found: str, expected: tuple[str, ...]) -> None:
    if found not in expected:
        raise UsageError(f"config: found {name} {found!r}, expected one of {', '.join(expected)}")


def _expect_types(settings: Any) -> None:
    """Check plain fields against their annotations: YAML reads `1e-3` as text and a lone word where a list is meant."""
    for own in dataclasses.fields(settings):
        value = getattr(settings, own.name)
        kind = str(own.type)
        if value is None and "None" in kind:
            continue
        expected = _PLAIN.get(kind.removesuffix(" | None").partition("[")[0])
        if expected and (not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)):
            hint = "; YAML reads 1e-3 as text, write 1.0e-3" if float in expected else ""
            raise UsageError(f"config: found {own.name}: {value!r}, expected {kind}{hint}")
