"""Synthetic opacities: they stay in the lungs, and the mask says where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from jcs_ct.training.synthetic_lesions import paint, paste, with_synthetic_lesions

SHAPE = (64, 80)


def lungs() -> Tensor:
    lung = torch.zeros(SHAPE, dtype=torch.bool)
    lung[10:50, 8:35] = True
    lung[10:50, 45:72] = True
    return lung


def slices(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Dark lungs in bright tissue, (N, 1, H, W), with empty masks."""
    lung = lungs().expand(count, 1, *SHAPE)
    return torch.where(lung, 0.12, 0.86), torch.zeros(count, 1, *SHAPE), lung


def test_painted_opacities_are_denser_lung_where_the_mask_is() -> None:
    image, _, lung = slices(1)
    painted, mask = paint(image[0, 0], torch.zeros(SHAPE), lung[0, 0], torch.Generator().manual_seed(3))
    assert bool(mask.any())
    assert not bool((mask > 0)[~lung[0, 0]].any())
    assert bool((painted >= image[0, 0] - 1e-6).all())
    assert float((painted - image[0, 0])[mask > 0].mean()) > 0.05
    assert torch.equal(painted[~lung[0, 0]], image[0, 0][~lung[0, 0]])


def test_nothing_is_painted_without_lung() -> None:
    image, mask = torch.full(SHAPE, 0.8), torch.zeros(SHAPE)
    found = paint(image, mask, torch.zeros(SHAPE, dtype=torch.bool), torch.Generator())
    assert torch.equal(found[0], image)
    assert torch.equal(found[1], mask)


def test_pasted_opacities_are_cut_off_at_the_lung() -> None:
    image, mask, lung = slices(2)
    donor, outline = image[1, 0].clone(), torch.zeros(SHAPE)
    outline[20:30, 25:55] = 1
    donor[20:30, 25:55] = 0.5
    pasted, found = paste(image[0, 0], mask[0, 0], lung[0, 0], donor, outline)
    assert float(pasted[25, 30]) > 0.4
    assert bool(found[25, 30])
    assert not bool((found > 0)[~lung[0, 0]].any())


def test_only_slices_that_are_surely_empty_are_changed() -> None:
    image, mask, lung = slices(4)
    mask[3, 0, 20:30, 20:30] = 1
    empty = torch.tensor([True, True, False, False])
    changed, found = with_synthetic_lesions(image, mask, lung, empty, 0.5, 0.5, torch.Generator().manual_seed(1))
    assert [bool(m.any()) for m in found] == [True, True, False, True]
    assert torch.equal(changed[2:], image[2:])
    assert not bool(mask[:2].any()), "the batch itself stays as it was"


def test_the_same_seed_draws_the_same() -> None:
    image, mask, lung = slices(3)
    empty = torch.ones(3, dtype=torch.bool)
    one, other = (
        with_synthetic_lesions(image, mask, lung, empty, 0.0, 0.7, torch.Generator().manual_seed(9)) for _ in range(2)
    )
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
