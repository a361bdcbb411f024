"""Captum's methods are right on the networks: completeness, and guided backprop by hand."""

import pytest
import torch
import torch.nn.functional as F
from captum.attr import DeepLift, GuidedBackprop, IntegratedGradients
from torch import Tensor, nn

from robust_core.models.small_cnn import SmallCNN
from tests.models.examples import images, settled_model

RELU_NETS = ["small_cnn", "preact_resnet18", "resnet18", "wide_resnet"]
TARGET = torch.tensor([0, 3])

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*hooks:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require:UserWarning"),
]


def logit_change(model: nn.Module, x: Tensor, baseline: Tensor) -> Tensor:
    with torch.no_grad():
        change = model(x) - model(baseline)
    return change.gather(1, TARGET[:, None]).squeeze(1)


@pytest.mark.parametrize("name", RELU_NETS)
def test_deeplift_attributions_sum_to_the_change_of_the_logit(name):
    model = settled_model(name)
    x, baseline = images(2).double(), images(2, seed=9).double()
    attribution = DeepLift(model).attribute(x, baseline, target=TARGET)
    change = logit_change(model, x, baseline)
    torch.testing.assert_close(attribution.sum((1, 2, 3)), change, rtol=1e-6, atol=1e-9)
    plain_gradient = torch.autograd.grad(
        model(x.requires_grad_(True)).gather(1, TARGET[:, None]).sum(), x
    )[0]
    linear = ((x - baseline) * plain_gradient).sum((1, 2, 3))
    assert not torch.allclose(linear, change, rtol=1e-3)  # the test can tell them apart


@pytest.mark.parametrize("name", [*RELU_NETS, "vit"])
def test_integrated_gradients_sum_to_the_change_of_the_logit(name):
    model = settled_model(name)
    x, baseline = images(2).double(), torch.full((2, 3, 16, 16), 0.5).double()
    attribution = IntegratedGradients(model).attribute(
        x, baseline, target=TARGET, n_steps=100, internal_batch_size=100
    )
    torch.testing.assert_close(
        attribution.sum((1, 2, 3)), logit_change(model, x, baseline), rtol=2e-2, atol=2e-3
    )


def guided_backprop_by_hand(model: SmallCNN, x: Tensor) -> Tensor:
    """Backward through each layer, letting only positive signals through the ReLUs that were on."""
    layers = list(model.layers)
    inputs, z = [], 2 * x - 1
    for layer in layers:
        inputs.append(z)
        z = layer(z)
    signal = model.classifier.weight[TARGET]
    for layer, seen in zip(reversed(layers), reversed(inputs), strict=True):
        match layer:
            case nn.ReLU():
                signal = signal.clamp(min=0) * (seen > 0)
            case nn.Linear():
                signal = signal @ layer.weight
            case nn.Flatten():
                signal = signal.reshape(seen.shape)
            case nn.Conv2d():  # sides are even: the transposed map lacks one last row and column
                signal = F.conv_transpose2d(
                    signal, layer.weight, stride=2, padding=1, output_padding=1
                )
    return 2 * signal


def test_guided_backprop_is_right():
    model = settled_model("small_cnn")
    assert isinstance(model, SmallCNN)
    x = images(2).double()
    expected = guided_backprop_by_hand(model, x).detach()
    actual = GuidedBackprop(model).attribute(x.requires_grad_(True), target=TARGET)
    assert expected.abs().max() > 0
    torch.testing.assert_close(actual.detach(), expected)


@pytest.mark.parametrize("name", ["preact_resnet18", "resnet18", "wide_resnet"])
def test_guided_backprop_leaves_the_network_as_it_was(name):
    model = settled_model(name)
    x = images(2).double().requires_grad_(True)

    def gradient() -> Tensor:
        return torch.autograd.grad(model(x).gather(1, TARGET[:, None]).sum(), x)[0]

    before = gradient()
    guided = GuidedBackprop(model).attribute(x, target=TARGET)
    assert not torch.allclose(guided, before)
    assert torch.equal(gradient(), before)
