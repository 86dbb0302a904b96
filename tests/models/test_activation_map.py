"""The activation map of the forward graph against the gradients of equations (1) and (2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jcs_ct.models import registry
from jcs_ct.models.activation_map import INFECTED, margin_activation_map, normalized, probability_activation_map
from jcs_ct.models.classifier import Classifier


def by_autograd(features: Tensor, score: Tensor) -> Tensor:
    """Equations (1) and (2) as printed: (N, 1, H, W)."""
    (gradient,) = torch.autograd.grad(score.sum(), features)
    weight = gradient.mean((2, 3), keepdim=True)  # equation (1), (N, C, 1, 1)
    return F.relu(weight * features).sum(1, keepdim=True)  # equation (2)


def features_and_logits(classifier: Classifier) -> tuple[Tensor, Tensor, Tensor]:
    """Image, last features with gradient, logits."""
    image = torch.rand(3, 1, 96, 128)
    features = classifier.backbone(image)[-1].detach().requires_grad_()
    return image, features, classifier.head(features.mean((2, 3)))


def test_margin_map_is_the_gradient_map_of_the_margin() -> None:
    torch.manual_seed(0)
    classifier = registry.classifier("default").eval()
    image, features, logits = features_and_logits(classifier)
    expected = by_autograd(features, logits[:, INFECTED] - logits[:, 1 - INFECTED])
    torch.testing.assert_close(margin_activation_map(features, classifier.head), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(classifier(image).activation_map, expected, rtol=1e-4, atol=1e-7)


def test_probability_map_is_the_gradient_map_of_the_softmax_probability() -> None:
    torch.manual_seed(1)
    classifier = registry.classifier("default").eval()
    _, features, logits = features_and_logits(classifier)
    expected = by_autograd(features, logits.softmax(1)[:, INFECTED])
    found = probability_activation_map(margin_activation_map(features, classifier.head), logits)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_relu_is_inside_of_the_sum_over_channels() -> None:
    head = nn.Linear(2, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 0.0], [4.0, -8.0]]))
    features = torch.ones(1, 2, 2, 2)
    # Channel 1 speaks against infection: it must not take away from what channel 0 shows.
    torch.testing.assert_close(margin_activation_map(features, head), torch.ones(1, 1, 2, 2))


def test_normalized_maps_peak_at_one_and_empty_ones_stay_empty() -> None:
    maps = torch.stack([torch.arange(12.0).reshape(1, 3, 4), torch.zeros(1, 3, 4)])
    found = normalized(maps)
    torch.testing.assert_close(found.amax((1, 2, 3)), torch.tensor([1.0, 0.0]))
    assert bool(found.isfinite().all())
