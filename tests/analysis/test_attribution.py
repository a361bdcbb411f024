from typing import get_args

import pytest
import torch
from torch import nn

from robust_core.analysis.attribution import (
    BASELINE,
    AttributionName,
    attribute,
    explanation_quality,
    not_applicable,
)
from robust_core.errors import InputError
from robust_core.models.base import Classifier, create_model

METHODS: tuple[AttributionName, ...] = get_args(AttributionName)
SHAPE = (3, 16, 16)


def small() -> Classifier:
    return create_model("small_cnn", SHAPE, 4, {"width": 4}).eval().requires_grad_(False)


def images(number: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand((number, *SHAPE), generator=torch.Generator().manual_seed(0))
    return x, torch.arange(number) % 4


class Linear(Classifier):
    """logits = W x, or with a ReLU of no module in front of it."""

    def __init__(self, functional: bool = False):
        super().__init__((1, 8, 8), 3, 64)
        generator = torch.Generator().manual_seed(1)
        self.classifier = nn.Linear(64, 3, bias=False)
        self.classifier.weight = nn.Parameter(torch.randn((3, 64), generator=generator))
        self.functional = functional
        self.relu = nn.ReLU()

    def features(self, x):
        z = x.flatten(1)
        return torch.relu(self.relu(z)) if self.functional else z

    def head(self, z):
        return self.classifier(z)


@pytest.mark.parametrize("method", METHODS)
def test_maps_have_the_images_shape_and_the_model_stays_as_it_was(method):
    model = small()
    x, y = images()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = attribute(model, x, y, method)
    assert found.shape == x.shape and torch.isfinite(found).all() and found.abs().max() > 0
    assert not found.requires_grad
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    for module in model.modules():
        assert not module._forward_hooks and not module._backward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("method", METHODS)
def test_an_image_has_the_same_map_in_any_batch_and_the_global_generator_stays(method):
    model = small()
    x, y = images()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    both = attribute(model, x, y, method)
    assert torch.equal(torch.rand(1), expected)
    if method != "smoothgrad":  # its noise follows the place in the batch
        assert torch.allclose(attribute(model, x[1:], y[1:], method), both[1:], atol=1e-5)


def test_a_linear_model_has_closed_forms():
    model, y = Linear(), torch.tensor([2])
    x = torch.rand((1, 1, 8, 8), generator=torch.Generator().manual_seed(2))
    weight = model.classifier.weight[2].detach().view(1, 1, 8, 8)
    closed_forms: dict[AttributionName, torch.Tensor] = {
        "saliency": weight,
        "smoothgrad": weight,
        "input_x_gradient": weight * x,
        "integrated_gradients": weight * (x - BASELINE),
        "occlusion": weight * (x - BASELINE),  # an 8-pixel image: the window is one pixel
    }
    for method, expected in closed_forms.items():
        assert torch.allclose(attribute(model, x, y, method), expected, atol=1e-5), method


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_attributions_sum_to_the_change_of_the_logit(method):
    model = small()
    x, y = images()
    change = (model(x) - model(torch.full_like(x, BASELINE))).gather(1, y[:, None]).squeeze(1)
    tolerance = 1e-4 if method == "deep_lift" else 0.02
    assert torch.allclose(
        attribute(model, x, y, method).flatten(1).sum(dim=1), change, atol=tolerance
    )


def test_a_faithful_map_of_a_linear_model_has_no_infidelity_and_no_sensitivity():
    model, y = Linear(), torch.tensor([1])
    x = torch.rand((1, 1, 8, 8), generator=torch.Generator().manual_seed(3))
    found = explanation_quality(model, x, y, "saliency")
    assert found.infidelity < 1e-8 and found.sensitivity < 1e-6
    assert explanation_quality(model, x, y, "integrated_gradients").infidelity < 1e-6
    assert explanation_quality(model, x, y, "input_x_gradient").sensitivity > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_trust_is_finite_and_repeatable(method):
    model = small()
    x, y = images(1)
    found = explanation_quality(model, x, y, method)
    assert 0 <= found.infidelity < float("inf") and 0 <= found.sensitivity < float("inf")
    assert explanation_quality(model, x, y, method) == found


def test_methods_say_where_they_do_not_apply():
    vit = create_model("vit", (3, 16, 16), 4, {"depth": 1}).eval()
    assert "tokens" in str(not_applicable(vit, "grad_cam"))
    assert "ReLU" in str(not_applicable(vit, "guided_backprop"))
    assert "ReLU" in str(not_applicable(vit, "deep_lift"))
    assert not_applicable(vit, "integrated_gradients") is None
    masked = create_model("quantized_cnn", SHAPE, 4).eval()
    assert "quantize" in str(not_applicable(masked, "saliency"))
    assert not_applicable(masked, "occlusion") is None
    assert not_applicable(masked, "grad_cam") is None
    functional = Linear(functional=True)
    assert "called as a function" in str(not_applicable(functional, "guided_backprop"))
    assert "no convolution" in str(not_applicable(functional, "grad_cam"))
    cosine = create_model("small_cnn", SHAPE, 4, {"head": "cosine"}).eval()
    assert "cosine head" in str(not_applicable(cosine, "deep_lift"))
    for method in METHODS:
        assert not_applicable(small(), method) is None


def test_stochastic_models_take_local_gradients_only():
    model = small()
    model.stochastic = True
    x, y = images()
    assert not_applicable(model, "saliency") is None
    with pytest.raises(InputError, match="another draw"):
        attribute(model, x, y, "deep_lift")
    with pytest.raises(InputError, match="deterministic model"):
        explanation_quality(model, x, y, "saliency")


def test_wrong_input_is_told():
    x, y = images()
    with pytest.raises(InputError, match="at least one image"):
        attribute(small(), x[:0], y[:0], "saliency")
    with pytest.raises(InputError, match="unknown attribution method 'lime'"):
        not_applicable(small(), "lime")  # pyright: ignore[reportArgumentType]
