"""What a linear probe on plain ImageNet VGG-16 features reaches on the split that the classifier is judged on.

    python experiments/vgg_probe.py --data ../shared/data --vgg16 vgg16_imagenet.safetensors

Writes docs/probe.json. Features: mean and maximum of the fifth block over the lung crop of each slice, 192 × 256;
logistic regression, its strength chosen on the validation split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jcs_ct.datasets.prepared import prepare
from jcs_ct.evaluation.metrics import auc_interval, roc_auc
from jcs_ct.models.vgg import VGGEncoder

ROOT = Path(__file__).resolve().parents[1]
SIZE = (192, 256)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def main() -> None:
    """Extract features, fit, choose on validation data, look at the test split once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vgg16", type=Path, required=True, help="torchvision-shaped ImageNet weights")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()
    slices = prepare(["sars-cov-2-ct"], arguments.data, SIZE, arguments.cache)
    encoder = VGGEncoder().eval()
    encoder.load_imagenet(load_file(arguments.vgg16))
    encoder = encoder.to(memory_format=torch.channels_last)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(slices), 8):
            image = torch.from_numpy(slices.images[start : start + 8])[:, None].float() / 255
            deepest = encoder(image.to(memory_format=torch.channels_last))[-1]
            parts.append(torch.cat([deepest.mean((2, 3)), deepest.amax((2, 3))], 1))
    features = torch.cat(parts).numpy()
    split = np.array([record.split for record in slices.records])
    infected = slices.infected == 1
    fitted = {}
    for strength in STRENGTHS:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        fitted[strength] = probe.fit(features[split == "train"], infected[split == "train"])
    scores = {s: p.decision_function(features) for s, p in fitted.items()}
    chosen = max(STRENGTHS, key=lambda s: roc_auc(infected[split == "val"], scores[s][split == "val"]) or 0.0)
    test = split == "test"
    truth, score = infected[test], scores[chosen][test]
    groups = np.array([record.group for record in slices.records])[test]
    result = {
        "source": "sars-cov-2-ct",
        "features": "ImageNet VGG-16, fifth block, mean and maximum, lung crop 192x256",
        "C": chosen,
        "val_slice_auc": roc_auc(infected[split == "val"], scores[chosen][split == "val"]),
        "test_slice_auc": roc_auc(truth, score),
        "test_interval_95": auc_interval(truth, score, groups),
    }
    (ROOT / "docs" / "probe.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
