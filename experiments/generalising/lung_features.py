"""Logistic regression on frozen ImageNet VGG-16 features of the lungs.

Features are pooled over the lungs only: their surroundings reveal the source of a slice rather than its disease.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from experiments.generalising.figures import auc
from experiments.workspace import Workspace
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from jcs_ct.datasets.prepared import PreparedSlices
from jcs_ct.errors import UsageError
from jcs_ct.models.vgg import VGGEncoder

BLOCKS = slice(2, 5)
"""Of the five; the first two see edges."""
INSIDE = 0.3
"""Share of lung in a feature's cell above which the cell counts for the maximum."""
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Candidates for the inverse regularisation of the regression."""
Features = NDArray[np.float32]
"""(N, F)."""
Score = Callable[[Features], NDArray[np.float64]]
"""(N, F) to (N,): higher means more likely infected."""


def pooled(features: Tensor, lung: Tensor) -> Tensor:
    """Mean and maximum over the lungs, (N, 2·C).

    Args:
        features: (N, C, h, w), not negative.
        lung: (N, 1, H, W) in 0..1.
    """
    share = adaptive_avg_pool2d(lung, (features.shape[-2], features.shape[-1]))
    mean = (features * share).sum((2, 3)) / (share.sum((2, 3)) + 1e-3)
    return torch.cat([mean, (features * (share > INSIDE)).amax((2, 3))], 1)


def lung_features(slices: PreparedSlices, workspace: Workspace) -> Features:
    """(N, F) features of slices, cached beside the runs."""
    digest = hashlib.sha256(slices.images.tobytes() + slices.lung_masks.tobytes()).hexdigest()[:16]
    kept = workspace.output / "features" / f"{digest}.npy"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npy")
        np.save(partial, _lung_features(slices, workspace))
        partial.replace(kept)
    return np.asarray(np.load(kept), np.float32)


@torch.inference_mode()
def _lung_features(slices: PreparedSlices, workspace: Workspace) -> Features:
    if workspace.imagenet is None:
        raise UsageError("found no ImageNet VGG-16 weights; give their file by --imagenet")
    encoder = VGGEncoder().eval()
    encoder.load_imagenet(load_file(workspace.imagenet))
    encoder = encoder.to(memory_format=torch.channels_last)
    parts = []
    for start in range(0, len(slices), 8):
        image = torch.from_numpy(slices.images[start : start + 8])[:, None].float() / 255
        lung = torch.from_numpy(slices.lung_masks[start : start + 8])[:, None].float()
        with torch.autocast("cpu", torch.bfloat16):
            levels = encoder(image.to(memory_format=torch.channels_last))[BLOCKS]
        parts.append(torch.cat([pooled(level.float(), lung) for level in levels], 1))
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def fitted(taught: Sequence[tuple[Features, NDArray[np.bool_]]], known: tuple[Features, NDArray[np.bool_]]) -> Score:
    """Fit a logistic regression; its regularisation is chosen on other slices.

    Args:
        taught: features and labels of each source; all sources weigh the same.
        known: features and labels to choose by.
    """
    features = np.concatenate([each for each, _ in taught])
    infected = np.concatenate([each for _, each in taught])
    weight = np.concatenate([np.full(len(each), len(features) / len(taught) / len(each)) for _, each in taught])
    found = []
    for strength in STRENGTHS:
        line = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        line.fit(features, infected, logisticregression__sample_weight=weight)
        found.append(line)
    best = max(found, key=lambda line: auc(known[1], line.decision_function(known[0])))
    return lambda given: np.asarray(best.decision_function(given), np.float64)
