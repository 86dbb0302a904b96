"""Look-alikes: they change the lung, empty the mask where they lie, and leave the rest alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jcs_ct.training.synthetic_mimics import REACH, add_dome, thicken, with_synthetic_mimics

HEIGHT, WIDTH = 96, 128
LUNG_LEVEL, TISSUE_LEVEL = 0.12, 0.87


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chest() -> tuple[Tensor, Tensor, Tensor]:
    """Image, lesion mask and lung mask (H, W): two lungs in tissue, a lesion in the right one."""
    lung = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    lung[20:80, 15:55] = True
    lung[20:80, 75:115] = True
    image = torch.where(lung, LUNG_LEVEL, TISSUE_LEVEL)
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[40:60, 20:40] = 1
    return torch.where(mask > 0, 0.6, image), mask, lung


@pytest.mark.parametrize("seed", range(8))
def test_a_dome_brightens_lung_and_empties_the_mask_below_it(seed: int) -> None:
    image, mask, lung = chest()
    changed, emptied = add_dome(image, mask, lung, generator(seed))
    brighter = changed - image
    assert float(brighter[lung].max()) > 0.2
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    covered = brighter.abs() > 0.2
    assert float(emptied[covered & (mask > 0)].sum()) == pytest.approx(0, abs=0.1 * float((covered & (mask > 0)).sum()))
    assert bool((emptied <= mask).all())
    untouched = brighter.abs() < 1e-4
    torch.testing.assert_close(emptied[untouched & lung], mask[untouched & lung], rtol=0, atol=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_a_dome_stays_near_the_lung(seed: int) -> None:
    image, mask, lung = chest()
    changed, _ = add_dome(image, mask, lung, generator(seed))
    far = REACH + 3
    assert torch.equal(changed[: 20 - far], image[: 20 - far])
    assert torch.equal(changed[80 + far :], image[80 + far :])


def test_domes_differ_and_some_are_faint() -> None:
    image, mask, lung = chest()
    peaks = [float((add_dome(image, mask, lung, generator(s))[0] - image)[lung].max()) for s in range(60)]
    assert len({round(p, 3) for p in peaks}) > 30
    assert min(peaks) < 0.55 < 0.65 < max(peaks)


def test_no_lung_no_dome() -> None:
    image, mask, lung = chest()
    same, same_mask = add_dome(image, mask, torch.zeros_like(lung), generator())
    assert same is image
    assert same_mask is mask


def test_a_thick_slice_is_hazy_at_the_borders_and_alike_elsewhere() -> None:
    image, mask, _ = chest()
    thick, mixed = thicken(image, mask, generator())
    hazy = (thick - image).abs() > 0.05
    assert 0.01 < float(hazy.float().mean()) < 0.4
    assert bool(hazy[78:82, 20:50].any())  # where the lung ends
    torch.testing.assert_close(thick[30:35, 85:105], image[30:35, 85:105])
    assert 0 < float((mixed - mask).abs().max()) < 1
    assert 0 <= float(mixed.min()) <= float(mixed.max()) <= 1


def batch(count: int) -> tuple[Tensor, Tensor, Tensor]:
    image, mask, lung = chest()
    return tuple(x.expand(count, 1, -1, -1).clone() for x in (image, mask, lung))  # type: ignore[return-value]


def test_none_asked_for_none_drawn() -> None:
    image, mask, lung = batch(3)
    random = generator()
    before = random.get_state()
    same, same_mask = with_synthetic_mimics(image, mask, lung, 0.0, 0.0, random)
    assert torch.equal(same, image)
    assert torch.equal(same_mask, mask)
    assert torch.equal(random.get_state(), before)


def test_a_share_of_the_slices_is_changed_and_the_batch_given_is_not() -> None:
    image, mask, lung = batch(120)
    kept = image.clone()
    changed, _ = with_synthetic_mimics(image, mask, lung, 0.25, 0.0, generator())
    assert torch.equal(image, kept)
    share = float(((changed - image).abs().amax((1, 2, 3)) > 0).float().mean())
    assert share == pytest.approx(0.25, abs=0.1)
    assert torch.equal(changed, with_synthetic_mimics(image, mask, lung, 0.25, 0.0, generator())[0])
