"""Losses against cases that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from jcs_ct.training.losses import (
    LEAST_BURDEN,
    LesionBurden,
    LesionReading,
    activation_map_loss,
    deep_supervision_loss,
    lesion_burden,
    mask_loss,
    mix,
    mixed_cross_entropy,
    off_target_share,
)

SURE = 30.0
"""A logit whose sigmoid is 1 to within 1e-13."""


def square(side: int = 8, pixels: int = 4) -> torch.Tensor:
    """(1, 1, side, side) with a square lesion in its corner."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., :pixels, :pixels] = 1
    return mask


def test_a_perfect_mask_costs_nothing() -> None:
    mask = square()
    assert float(mask_loss(SURE * (2 * mask - 1), mask)) == pytest.approx(0, abs=1e-6)


def test_an_empty_prediction_of_an_empty_mask_costs_nothing() -> None:
    assert float(mask_loss(torch.full((1, 1, 8, 8), -SURE), torch.zeros(1, 1, 8, 8))) == pytest.approx(0, abs=1e-6)


def test_equation_6_by_hand() -> None:
    # All logits 0: every p is 1/2, 16 of 64 pixels are lesion. BCE = log 2; smoothed Dice = (2·8 + 1)/(32 + 16 + 1).
    found = float(mask_loss(torch.zeros(1, 1, 8, 8), square()))
    assert found == pytest.approx(math.log(2) + 1 - 17 / 49, rel=1e-5)


def test_equation_6_is_per_image_then_the_mean() -> None:
    logits = torch.cat([torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), -2.0)])
    masks = torch.cat([square(), square(pixels=1)])
    each = [float(mask_loss(logits[k : k + 1], masks[k : k + 1])) for k in range(2)]
    assert float(mask_loss(logits, masks)) == pytest.approx(sum(each) / 2, rel=1e-6)
    pooled = torch.sigmoid(logits)
    of_the_batch = 1 - (2 * (pooled * masks).sum() + 1) / (pooled.sum() + masks.sum() + 1)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, masks)
    assert abs(float(cross_entropy + of_the_batch) - sum(each) / 2) > 0.01  # a Dice over the batch is another loss


def test_side_outputs_are_brought_to_the_masks_size_and_summed() -> None:
    mask = square()
    side = [SURE * (2 * mask - 1), torch.zeros(1, 1, 4, 4), torch.full((1, 1, 2, 2), 1.5)]
    expected = sum(float(mask_loss(F.interpolate(s, (8, 8), mode="bilinear", align_corners=False), mask)) for s in side)
    assert float(deep_supervision_loss(side, mask)) == pytest.approx(expected, rel=1e-6)


def test_mixing_is_convex_and_names_another_partner() -> None:
    image = torch.rand(6, 1, 4, 4)
    generator = torch.Generator().manual_seed(0)
    weights = []
    for _ in range(200):
        mixed, weight, partner = mix(image, 0.5, generator)
        assert not bool((partner == torch.arange(6)).any())
        assert bool(((weight >= 0) & (weight <= 1)).all())
        for k in range(6):
            expected = weight[k] * image[k] + (1 - weight[k]) * image[partner[k]]
            torch.testing.assert_close(mixed[k], expected)
        weights.append(weight)
    drawn = torch.cat(weights)
    # Beta(1/2, 1/2): mean 1/2, variance 1/8.
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(drawn.var()) == pytest.approx(0.125, abs=0.01)


def test_one_image_alone_is_mixed_with_itself() -> None:
    image = torch.rand(1, 1, 4, 4)
    mixed, _, partner = mix(image, 0.5, torch.Generator().manual_seed(0))
    assert partner.tolist() == [0]
    torch.testing.assert_close(mixed, image)


def test_mixed_labels_are_weighted_as_the_images() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])  # probabilities (1/4, 3/4) and (1/2, 1/2)
    label, partner, weight = torch.tensor([1, 0]), torch.tensor([1, 0]), torch.tensor([0.25, 1.0])
    first = -(0.25 * math.log(3 / 4) + 0.75 * math.log(1 / 4))
    second = -math.log(1 / 2)
    found = float(mixed_cross_entropy(logits, label, weight, partner, smoothing=0.0))
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_unmixed_labels_give_plain_cross_entropy() -> None:
    logits, label = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    found = mixed_cross_entropy(logits, label, torch.ones(5), torch.arange(5), smoothing=0.1)
    torch.testing.assert_close(found, F.cross_entropy(logits, label, label_smoothing=0.1))


def test_equation_4_by_hand() -> None:
    # The map divided by its largest value is (1, 1/2, 0, 0), the mask (1, 0, 0, 1): ‖·‖₂ = sqrt(1/4 + 1), over HW = 4.
    activation = torch.tensor([[[[2.0, 1.0], [0.0, 0.0]]]])
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    found = float(activation_map_loss(activation, mask, torch.tensor([True])))
    assert found == pytest.approx(math.sqrt(1.25) / 4, rel=1e-5)


def test_equation_4_brings_the_mask_to_the_maps_size_by_averaging() -> None:
    mask = square(8, 4)
    activation = F.avg_pool2d(mask, 4) * 7
    found = activation_map_loss(activation, mask, torch.tensor([True]))
    assert float(found) == pytest.approx(0, abs=1e-6)


def test_equation_4_leaves_out_unknown_and_empty_masks() -> None:
    activation, mask = torch.rand(3, 1, 2, 2), torch.zeros(3, 1, 8, 8)
    mask[0, :, :4], mask[1, :, 4:] = 1, 1
    known = torch.tensor([True, False, True])  # the second is not known, the third is empty
    alone = activation_map_loss(activation[:1], mask[:1], known[:1])
    torch.testing.assert_close(activation_map_loss(activation, mask, known), alone)


def test_equation_4_without_masks_costs_nothing_and_can_still_be_differentiated() -> None:
    activation = torch.rand(2, 1, 4, 4, requires_grad=True)
    loss = activation_map_loss(activation, torch.zeros(2, 1, 8, 8), torch.tensor([False, True]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert activation.grad is not None
    assert float(activation.grad.abs().sum()) == 0


def test_the_lesion_reading_wants_evidence_where_lesions_are_and_none_elsewhere() -> None:
    activation = torch.full((2, 1, 4, 4), 0.1, requires_grad=True)
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, :4, :4] = 1  # the second slice has an empty mask, which counts
    loss = LesionReading()(activation, mask, torch.tensor([True, True]))
    (gradient,) = torch.autograd.grad(loss, activation)
    assert bool((gradient[0, :, :2, :2] < 0).all())
    assert bool((gradient[0, :, 2:] > 0).all())
    assert bool((gradient[1] > 0).all())


def test_the_lesion_reading_counts_a_place_alike_whatever_the_maps_size() -> None:
    reading, known = LesionReading(), torch.tensor([True])
    coarse, mask = torch.rand(1, 1, 4, 4), square(16, 8)
    fine = F.interpolate(coarse, scale_factor=2) / 4  # equation (1) divides by four times as many places
    torch.testing.assert_close(reading(fine, mask, known), reading(coarse, mask, known), rtol=0.02, atol=0.02)


def test_the_lesion_reading_leaves_out_unknown_masks() -> None:
    reading = LesionReading()
    activation, mask = torch.rand(3, 1, 4, 4), (torch.rand(3, 1, 8, 8) > 0.5).float()
    known = torch.tensor([True, False, True])
    torch.testing.assert_close(reading(activation, mask, known), reading(activation[known], mask[known], known[known]))
    nothing = reading(activation.requires_grad_(), mask, torch.zeros(3, dtype=torch.bool))
    assert float(nothing.detach()) == 0


def test_only_what_is_far_from_the_lungs_is_stray() -> None:
    lung, mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool), torch.zeros(1, 1, 64, 64)
    lung[..., 16:48, 16:32] = True
    mask[..., 16:48, 32:48] = 1.0  # consolidation: no lung by its density
    everywhere = torch.ones(1, 1, 8, 8)
    # Places of 8 pixels; lung and lesion with their reach of one pixel touch 6 by 6 of the 64.
    assert float(off_target_share(everywhere, lung, mask)) == pytest.approx(28 * 64 / (64 * 64 + 1))
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 2:6, 2:6] = 1
    assert float(off_target_share(inside, lung, mask)) == 0
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., 0, 0] = 100
    assert float(off_target_share(corner, lung, mask)) == pytest.approx(1, abs=1e-3)
    assert float(off_target_share(1e-6 * corner, lung, mask)) < 0.01, "no evidence, no share of it"


def test_stray_evidence_is_driven_away() -> None:
    lung = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    lung[..., 24:40, 24:40] = True
    strength = torch.rand(2, 1, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(off_target_share(strength, lung, torch.zeros(2, 1, 64, 64)), strength)
    assert bool((slope[..., 0, 0] > 0).all())
    assert bool((slope[..., 4, 4] < 0).all())


def test_the_burden_is_the_share_of_the_lungs_that_is_marked() -> None:
    lung, marked = torch.zeros(2, 1, 40, 40, dtype=torch.bool), torch.zeros(2, 1, 40, 40)
    lung[0, :, 10:30, 10:30] = True  # 400 pixels
    marked[0, :, 10:20, 10:15], marked[0, :, :5] = 1, 1  # 50 of them within the lungs
    lung[1, :, 0, :2] = True  # two pixels count as one hundredth of the picture, 16
    marked[1, :, 0, 0] = 1
    expected = torch.tensor([50 / 400, 1 / 16]) + LEAST_BURDEN
    torch.testing.assert_close(lesion_burden(marked, lung), expected)


def test_a_label_teaches_what_is_marked_in_the_lungs() -> None:
    logits = torch.full((3, 1, 16, 16), -2.0, requires_grad=True)
    lung = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    lung[..., 4:12, 4:12] = True
    loss = LesionBurden()(logits, lung, torch.tensor([1, 0, -1]), smoothing=0.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert bool((gradient[0][lung[0]] < 0).all()), "an infected slice has to be marked"
    assert bool((gradient[1][lung[1]] > 0).all()), "an uninfected one has not to be"
    assert not gradient[2].any(), "of what nobody labelled nothing is known"
    assert not gradient[~lung].any()


def test_without_labels_the_burden_costs_nothing() -> None:
    lung = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    assert float(LesionBurden()(torch.zeros(2, 1, 8, 8), lung, torch.tensor([-1, -1]), smoothing=0.0)) == 0
