"""Training the lung network: both lungs, dense or not, on whole slices in every orientation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, IterableDataset

from jcs_ct.datasets.whole_slices import LEFT, RIGHT, WholeSlices
from jcs_ct.errors import DataError
from jcs_ct.evaluation.metrics import dice_per_image
from jcs_ct.models.lung_network import ORIENTATIONS, LungNetwork, LungPrediction
from jcs_ct.training.batches import Batch
from jcs_ct.training.config import BatchGroup, TrainConfig
from jcs_ct.training.losses import mask_loss
from jcs_ct.training.synthetic_lesions import paint
from jcs_ct.training.synthetic_mimics import add_dome
from jcs_ct.training.task import Task

ORIENTATION_WEIGHT = 0.2
UPRIGHT = 0.8
"""Share of the slices that stay upright, as most inputs are; the others lie in any of the eight ways."""
DENSE = 0.2
"""Share of the slices that get consolidation painted into the lungs, which stays lung."""
DENSE_LEVEL = (0.5, 0.92)
DENSE_COVERED = (0.3, 0.95)
ORGAN = 0.25
"""Share of the slices that get a round organ rising into the lung, which is no lung."""
BOWEL = 0.5
"""Share of the slices that get organs with food and pockets of gas somewhere in the body, which are no lung."""
POCKETS = 6
"""Most pockets of gas on a slice."""
POCKET_RADIUS = (0.01, 0.07)
"""Semi-axes of a pocket, as a share of the picture's side."""
TISSUE = 0.7
"""Brighter than this is soft tissue, where organs and gas may lie."""


def lung_batch(slices: WholeSlices, chosen: NDArray[np.int64]) -> Batch:
    """Slices at positions `chosen`: image (N, 1, S, S) in 0..1 and lungs (N, 2, S, S), right and left."""
    lungs = slices.lungs[chosen]
    return {
        "image": torch.from_numpy(slices.images[chosen])[:, None].float() / 255,
        "lungs": torch.from_numpy(np.stack([lungs == RIGHT, lungs == LEFT], 1)).float(),
    }


class LungBatches(IterableDataset[Batch]):
    """Endless batches: of each group's sources one is drawn, then a patient, then a slice.

    Batch k is a function of the seed and k alone, so that a resumed run repeats an uninterrupted one.
    """

    def __init__(
        self, slices: WholeSlices, groups: Sequence[BatchGroup], seed: int, steps: int, start: int = 0
    ) -> None:
        super().__init__()
        self.slices, self.seed, self.steps, self.start = slices, seed, steps, start
        self.pools = [(group.count, [self._patients(source) for source in group.sources]) for group in groups]

    def _patients(self, source: str) -> list[NDArray[np.int64]]:
        names = np.array([r.group if r.source == source else "" for r in self.slices.records])
        if not (names != "").any():
            raise DataError(f"{source}: found no training slices with lung masks")
        return [np.flatnonzero(names == name) for name in np.unique(names[names != ""])]

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.start, self.steps):
            random = np.random.default_rng((self.seed, step))
            chosen = []
            for count, sources in self.pools:
                for _ in range(count):
                    patients = sources[random.integers(len(sources))]
                    pool = patients[random.integers(len(patients))]
                    chosen.append(int(pool[random.integers(len(pool))]))
            yield lung_batch(self.slices, np.array(chosen))


class FixedLungBatches(Dataset[Batch]):
    """Validation slices in fixed batches."""

    def __init__(self, slices: WholeSlices, size: int = 16) -> None:
        super().__init__()
        self.slices = slices
        self.parts = np.array_split(np.arange(len(slices)), max(1, -(-len(slices) // size)))

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Batch:
        return lung_batch(self.slices, self.parts[index])


def oriented(image: Tensor, orientation: int) -> Tensor:
    """(C, S, S) upright to one of the eight orientations of `models.lung_network`."""
    mirrored = image.flip(-1) if orientation >= ORIENTATIONS // 2 else image
    return torch.rot90(mirrored, orientation % 4, (-2, -1))


class LungTask(Task):
    """Masks of the right and the left lung, and the orientation that a slice was given."""

    monitor = "val/dice"

    def __init__(self, network: LungNetwork, config: TrainConfig) -> None:
        super().__init__(network, config)
        self.validated: list[tuple[Tensor, Tensor]] = []

    def augmented(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Dense lungs, organs, changes of place and grey, then an orientation."""
        image, lungs = batch["image"].cpu().clone(), batch["lungs"].cpu().clone()
        for index in range(len(image)):
            draws = torch.rand(3, generator=generator)
            if draws[0] < ORGAN:
                _add_organ(image[index], lungs[index], lungs[index].amax(0) > 0, generator)
            if draws[2] < BOWEL:
                _add_organ(image[index], lungs[index], image[index, 0] > TISSUE, generator)
                _add_gas(image[index, 0], lungs[index], generator)
            if draws[1] < DENSE:
                inside = lungs[index].amax(0) > 0
                image[index, 0], _ = paint(
                    image[index, 0], inside.float(), inside, generator, DENSE_LEVEL, DENSE_COVERED
                )
        image, lungs = self.augment(image, lungs, generator)
        orientation = torch.randint(ORIENTATIONS, (len(image),), generator=generator)
        orientation[torch.rand(len(image), generator=generator) < UPRIGHT] = 0
        both = torch.cat([image, lungs], 1)
        both = torch.stack([oriented(one, int(o)) for one, o in zip(both, orientation, strict=True)])
        image = both[:, :1].to(self.device, memory_format=torch.channels_last)
        return {"image": image, "lungs": both[:, 1:].to(self.device), "orientation": orientation.to(self.device)}

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Equation (6) for both lungs, cross-entropy for the orientation."""
        del generator
        output: LungPrediction = self.network(batch["image"])
        sides = [mask_loss(output.logits[:, k : k + 1], batch["lungs"][:, k : k + 1]) for k in range(2)]
        orientation = F.cross_entropy(output.orientation, batch["orientation"])
        return {"lungs": torch.stack(sides).mean(), "orientation": ORIENTATION_WEIGHT * orientation}

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Dice of upright slices, orientation of slices that lie in turn in every way."""
        upright = self.network(batch["image"])
        marked = upright.logits > 0
        dice = dice_per_image(marked.amax(1, keepdim=True), batch["lungs"].amax(1, keepdim=True) > 0.5)
        given = (torch.arange(len(batch["image"])) + batch_idx) % ORIENTATIONS
        turned = torch.stack([oriented(one, int(o)) for one, o in zip(batch["image"], given, strict=True)])
        told = self.network(turned).orientation.argmax(1)
        self.validated.append((dice, told == given.to(told.device)))

    def on_validation_epoch_end(self) -> None:
        """Mean lung Dice, and the share of orientations told rightly."""
        dice, told = (torch.cat(column).float() for column in zip(*self.validated, strict=True))
        self.log("val/dice", dice.mean(), prog_bar=True)
        self.log("val/orientation", told.mean())


def _add_organ(image: Tensor, lungs: Tensor, places: Tensor, generator: torch.Generator) -> None:
    """Lay an organ at one of the places (H, W) over a slice (1, H, W) and off its lungs (2, H, W), in place."""
    image[0], left = add_dome(image[0], torch.ones_like(image[0]), places, generator)
    lungs *= left


def _add_gas(image: Tensor, lungs: Tensor, generator: torch.Generator) -> None:
    """Lay pockets of gas into the soft tissue of a slice (H, W), in place; its lungs (2, H, W) stay as they are."""
    near_lung = F.max_pool2d(lungs.amax(0)[None], 9, stride=1, padding=4)[0] > 0
    places = ((image > TISSUE) & ~near_lung).nonzero()
    if not len(places):
        return
    height, width = image.shape
    low, high = POCKET_RADIUS
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for _ in range(int(torch.randint(1, POCKETS + 1, (), generator=generator))):
        row, column = places[int(torch.randint(len(places), (), generator=generator))].tolist()
        semi = (low + (high - low) * torch.rand(2, generator=generator)) * height
        distance = ((rows - row) / semi[0]) ** 2 + ((columns - column) / semi[1]) ** 2
        cover = torch.sigmoid(8 * (1 - distance)) * ~near_lung
        image += cover * (0.06 * float(torch.rand((), generator=generator)) - image)
