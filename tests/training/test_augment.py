"""Augmentation: image and mask move alike, and only the image changes its grey."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jcs_ct.training.augment import Augment
from jcs_ct.training.config import AugmentSettings

IDENTITY = AugmentSettings(
    flip=False, rotate=0, scale=(1, 1), shift=0, elastic=0, gamma=0, level=0, contrast=0, blur=0, noise=0
)
MOVES = {
    "flip": replace(IDENTITY, flip=True),
    "quarter_turn": replace(IDENTITY, quarter_turn=1.0),
    "rotate": replace(IDENTITY, rotate=40),
    "scale": replace(IDENTITY, scale=(0.6, 1.5)),
    "shift": replace(IDENTITY, shift=0.1),
    "elastic": replace(IDENTITY, elastic=0.1),
}


def blob(height: int, width: int, count: int = 16) -> torch.Tensor:
    """(count, 1, height, width) with one bright disc off the centre, which no symmetry leaves in place."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = ((y - 0.4 * height) ** 2 + (x - 0.62 * width) ** 2 <= 16).float()
    return disc.expand(count, 1, -1, -1).clone()


def centres(mask: torch.Tensor) -> torch.Tensor:
    """(N, 2): row and column of the centre of mass."""
    rows, columns = torch.arange(mask.shape[2]).float(), torch.arange(mask.shape[3]).float()
    total = mask.sum((1, 2, 3))
    return torch.stack([(mask.sum((1, 3)) * rows).sum(1) / total, (mask.sum((1, 2)) * columns).sum(1) / total], 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_identity_settings_change_nothing() -> None:
    image, mask = torch.rand(3, 1, 24, 32) * 0.9 + 0.05, (torch.rand(3, 1, 24, 32) > 0.5).float()
    same_image, same_mask = Augment(IDENTITY)(image, mask, generator())
    torch.testing.assert_close(same_image, image, rtol=0, atol=1e-4)
    torch.testing.assert_close(same_mask, mask, rtol=0, atol=1e-4)


@pytest.mark.parametrize("settings", MOVES.values(), ids=MOVES.keys())
def test_image_and_mask_move_alike(settings: AugmentSettings) -> None:
    marker = blob(48, 64)
    image, mask = Augment(settings)(marker, marker, generator())
    torch.testing.assert_close(image, mask, rtol=0, atol=2e-4)
    moved = (centres(mask) - centres(marker)).norm(dim=1)
    assert float(moved.max()) > 2


def test_flips_can_be_kept_from_turning_top_and_bottom() -> None:
    marker = blob(48, 64)
    for vertical in (False, True):
        _, mask = Augment(replace(IDENTITY, flip=True, flip_vertical=vertical))(marker, marker, generator())
        rows, columns = (centres(mask) - centres(marker)).abs().amax(0).tolist()
        assert columns > 2
        assert (rows > 2) is vertical


def test_every_slice_of_a_batch_is_drawn_for_itself() -> None:
    _, mask = Augment(MOVES["shift"])(blob(48, 64), blob(48, 64), generator())
    assert len({tuple(c) for c in centres(mask).round().tolist()}) > 8


def test_flips_are_left_right_and_top_bottom_each_in_half_of_the_draws() -> None:
    marker = blob(48, 64, 400)
    _, mask = Augment(MOVES["flip"])(marker, marker, generator())
    row, column = centres(marker)[0]
    found = centres(mask)
    up, left = (found[:, 0] - row).abs() < 0.5, (found[:, 1] - column).abs() < 0.5
    torch.testing.assert_close(found[~up][:, 0], (47 - row).expand(int((~up).sum())), rtol=0, atol=0.01)
    torch.testing.assert_close(found[~left][:, 1], (63 - column).expand(int((~left).sum())), rtol=0, atol=0.01)
    assert float(up.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float(left.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float((up & left).float().mean()) == pytest.approx(0.25, abs=0.1)


def test_turning_does_not_distort_a_picture_that_is_not_square() -> None:
    marker = blob(48, 64)
    _, mask = Augment(MOVES["rotate"])(marker, marker, generator())
    middle = torch.tensor([23.5, 31.5])
    before, after = (centres(marker) - middle).norm(dim=1), (centres(mask) - middle).norm(dim=1)
    torch.testing.assert_close(after, before, rtol=0, atol=0.1)
    torch.testing.assert_close(mask.sum((1, 2, 3)), marker.sum((1, 2, 3)), rtol=0.03, atol=0)


def test_a_quarter_turn_is_one() -> None:
    marker = blob(48, 48)
    _, mask = Augment(MOVES["quarter_turn"])(marker, marker, generator())
    row, column = centres(marker)[0]
    found = centres(mask)[0]
    assert (
        float((found - torch.stack([47 - column, row])).norm()) < 0.1
        or float((found - torch.stack([column, 47 - row])).norm()) < 0.1
    )


def test_scale_is_the_size_of_the_lungs() -> None:
    marker = blob(48, 64, 1)
    _, mask = Augment(replace(IDENTITY, scale=(1.5, 1.5)))(marker, marker, generator())
    assert float(mask.sum() / marker.sum()) == pytest.approx(2.25, rel=0.03)


def test_grey_changes_leave_the_mask_alone() -> None:
    settings = replace(IDENTITY, gamma=0.3, level=0.1, contrast=0.2, blur=1.0, noise=0.1)
    image, mask = torch.rand(4, 1, 24, 32), blob(24, 32, 4)
    changed, same = Augment(settings)(image, mask, generator())
    torch.testing.assert_close(same, mask, rtol=0, atol=1e-4)
    assert float((changed - image).abs().mean()) > 0.02
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_the_same_generator_draws_the_same() -> None:
    image, mask = torch.rand(4, 1, 24, 32), blob(24, 32, 4)
    augment = Augment(AugmentSettings())
    first, again, other = (augment(image, mask, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
