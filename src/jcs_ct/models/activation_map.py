"""Activation mapping of the classifier: equations (1) and (2) of the paper, as part of the forward graph.

With global average pooling and one linear layer the gradient of equation (1) needs no backward pass. For the margin
y = logit(infected) - logit(uninfected), dy/dX^k_ij is the difference of the two weight rows over H·W, the same at
every place; for the softmax probability it is that times p(1 - p).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

INFECTED = 1
"""Index of the infected class in the logits; 0 is uninfected."""


def margin_activation_map(features: Tensor, head: nn.Linear) -> Tensor:
    """Activation map of the margin between the two classes, equations (1) and (2).

    Its weight does not vanish where the classifier is sure, unlike that of the probability, so maps of different slices
    can be compared. `probability_activation_map` is the paper's version.

    Args:
        features: (N, C, H, W), the last feature map before global average pooling.
        head: linear layer with two outputs.

    Returns:
        (N, 1, H, W), not negative.
    """
    height, width = features.shape[-2:]
    weight = (head.weight[INFECTED] - head.weight[1 - INFECTED]) / (height * width)  # equation (1), (C,)
    return F.relu(features * weight[None, :, None, None]).sum(1, keepdim=True)  # equation (2)


def probability_activation_map(margin_map: Tensor, logits: Tensor) -> Tensor:
    """The paper's map: equation (1) on the predicted probability of infection.

    Args:
        margin_map: (N, 1, H, W) from `margin_activation_map`.
        logits: (N, 2).

    Returns:
        (N, 1, H, W).
    """
    probability = logits.softmax(1)[:, INFECTED]
    return margin_map * (probability * (1 - probability))[:, None, None, None]


def normalized(activation_map: Tensor, epsilon: float = 1e-8) -> Tensor:
    """(N, 1, H, W) with each map divided by its largest value, as equation (4) needs it."""
    return activation_map / (activation_map.amax((2, 3), keepdim=True) + epsilon)
