"""EfficientNet-Lite0 against an independent implementation, timm's with TensorFlow's padding."""

from typing import Any

import pytest
import timm
import torch
from torch import nn

from robust_core.acceleration.optimised import is_optimised, optimised
from robust_core.errors import InputError
from robust_core.models.base import create_model
from tests.models.examples import generator


def settled(model: nn.Module, size: tuple[int, int]) -> nn.Module:
    """The model in eval mode, its norms with statistics of noise and scales of their own."""
    draws = generator(3)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.data.copy_(0.5 + torch.rand(norm.num_features, generator=draws))
        norm.bias.data.copy_(0.5 * torch.randn(norm.num_features, generator=draws))
    with torch.no_grad():
        model.train()(torch.rand((8, 3, *size), generator=draws))
    return model.eval().requires_grad_(False)


# even sides, odd ones, and one that is odd only after the first stride
@pytest.mark.parametrize("size", [(64, 64), (33, 48), (46, 50)], ids=str)
def test_the_logits_are_those_of_the_reference(size):
    model = create_model("efficientnet_lite0", (3, *size), 7)
    settled(model, size)
    reference: Any = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, num_classes=7
    ).eval()
    state, names = model.state_dict(), reference.state_dict()
    assert [v.shape for v in state.values()] == [v.shape for v in names.values()]
    reference.load_state_dict(dict(zip(names, state.values(), strict=True)))  # the same order
    x = torch.rand((2, 3, *size), generator=generator(1))
    with torch.no_grad():
        expected = reference((x - 0.5) / 0.5)
        assert expected.std() > 0.05
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=1e-4)
        features = reference.forward_head(reference.forward_features((x - 0.5) / 0.5), True)
        torch.testing.assert_close(model.features(x), features, atol=1e-4, rtol=1e-4)


def test_the_fused_form_is_the_same_function():
    model = create_model("efficientnet_lite0", (3, 45, 64), 7)
    settled(model, (45, 64))
    fused = optimised(model)
    assert is_optimised(fused)
    x = torch.rand((2, 3, 45, 64), generator=generator(1))
    assert model(x).std() > 0.05
    torch.testing.assert_close(fused(x), model(x), atol=1e-4, rtol=1e-4)


def test_the_size_of_the_paper():
    with torch.device("meta"):
        model = create_model("efficientnet_lite0", (3, 224, 224), 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008


def test_every_channel_has_its_own_mean_and_deviation():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    plain = create_model("efficientnet_lite0", (3, 32, 32), 5).eval()
    own: Any = create_model("efficientnet_lite0", (3, 32, 32), 5, {"mean": mean, "std": std}).eval()
    x = torch.rand((1, 3, 32, 32), generator=generator(1))
    column = torch.tensor([mean, std]).view(2, 3, 1, 1)
    assert torch.equal(own.get_submodule("trunk")((x - column[0]) / column[1]), own.features(x))
    assert not torch.equal(own.features(x), plain.features(x))


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_number_for_each_channel_or_one_for_all(name):
    with pytest.raises(InputError) as error:
        create_model("efficientnet_lite0", (1, 32, 32), 5, {name: (0.5, 0.5, 0.5)})
    assert str(error.value) == (f"{name} should have one number for images of 1 channel, got 3")
