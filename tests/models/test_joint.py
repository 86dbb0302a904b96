"""The joint model against paper §III-B4 and Fig. 4."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jcs_ct.models import registry
from jcs_ct.models.classifier import Classifier
from jcs_ct.models.joint import FeatureCombination, JointModel
from jcs_ct.models.layers import SqueezeExcitation
from jcs_ct.models.res2net import Res2NetBackbone
from jcs_ct.models.segmenter import Segmenter


def small_joint() -> JointModel:
    """Few channels: shapes and connections are the same at any width."""
    classifier = Classifier(Res2NetBackbone((1, 1, 1, 1), (8, 8, 8, 8)))
    return JointModel(classifier, Segmenter((8, 8, 16, 16, 16)))


def test_classifier_features_are_resized_up_to_the_segmenters() -> None:
    model = small_joint().eval()
    seen: list[tuple[torch.Size, torch.Size, torch.Size]] = []
    for combination in model.combinations:

        def note(_: nn.Module, given: tuple[Tensor, Tensor], out: Tensor) -> None:
            seen.append((given[0].shape, given[1].shape, out.shape))

        combination.register_forward_hook(note)
    with torch.inference_mode():
        model(torch.rand(1, 1, 64, 96))
    assert len(seen) == 5
    for segmenter, classifier, combined in seen:
        assert combined == segmenter
        assert classifier[2] < segmenter[2]  # A_k is the smaller one at every stage


def test_a_combination_is_1x1_attention_3x3() -> None:
    combination = FeatureCombination(8, 24)
    shapes = [tuple(layer.weight.shape) for layer in combination.modules() if isinstance(layer, nn.Conv2d)]
    assert shapes == [(8, 32, 1, 1), (2, 8, 1, 1), (8, 2, 1, 1), (8, 8, 3, 3)]
    assert isinstance(combination.attention, SqueezeExcitation)


def test_the_segmentation_teaches_the_classifiers_backbone() -> None:
    model = small_joint().train()
    model(torch.rand(2, 1, 64, 64)).segmentation.logits.square().sum().backward()
    backbone = [parameter.grad for parameter in model.classifier.backbone.parameters()]
    assert all(gradient is not None for gradient in backbone)
    assert sum(float(gradient.abs().sum()) for gradient in backbone if gradient is not None) > 0
    assert model.classifier.head.weight.grad is None


def test_the_joint_classification_is_the_classifiers_own() -> None:
    model = small_joint().eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        joint, alone = model(image).classification, model.classifier(image)
    torch.testing.assert_close(joint.logits, alone.logits)
    torch.testing.assert_close(joint.activation_map, alone.activation_map)


def test_every_stage_of_the_classifier_changes_the_mask() -> None:
    model = registry.joint("default").eval()
    image = torch.rand(1, 1, 64, 64)
    stages = [stage.detach().requires_grad_() for stage in model.classifier.backbone(image)]
    levels, top = model.segmenter.encode(image)
    combined = [c(m, a) for c, m, a in zip(model.combinations, levels, stages, strict=True)]
    logits = model.segmenter.decoder(combined, top)[0]
    for gradient in torch.autograd.grad(logits.sum(), stages):
        assert float(gradient.abs().sum()) > 0


def test_a_joint_model_starts_where_its_segmenter_stands() -> None:
    torch.manual_seed(0)
    model, slices = small_joint(), torch.rand(4, 1, 64, 96)
    for module in model.segmenter.modules():  # as after a training: statistics that are not the first ones
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.2, 0.3)
    model.start_from_segmenter(slices)
    assert model.segmenter.training
    model.eval()
    with torch.inference_mode():
        joint, alone = model(slices).segmentation, model.segmenter(slices)
        scrambled = small_joint().eval()
        scrambled.segmenter.load_state_dict(model.segmenter.state_dict())
        otherwise = scrambled(slices).segmentation
    for one, other, third in zip(joint.side_logits, alone.side_logits, otherwise.side_logits, strict=True):
        assert float((one - other).abs().max()) < 0.02 * float((third - other).abs().max())


def test_a_combination_that_passes_through_still_learns_from_the_classifier() -> None:
    torch.manual_seed(0)
    combination, given = FeatureCombination(8, 24), torch.rand(4, 8, 16, 16)
    combination.pass_through(given)
    combination.train()(given, torch.rand(4, 24, 8, 8)).square().sum().backward()
    weight = next(layer.weight for layer in combination.reduce if isinstance(layer, nn.Conv2d))
    assert weight.grad is not None
    assert float(weight.grad[:, 8:].abs().sum()) > 0
