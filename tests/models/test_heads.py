"""The cosine head against its formula, and the linear head, which must not have changed."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.models.base import Classifier, create_model
from robust_core.models.heads import (
    CosineHead,
    cosine_head,
    create_head,
    retract_weights,
    with_raw_features,
    with_scaled_logits,
)

SMALL: dict[str, dict[str, Any]] = {
    "small_cnn": {"width": 4},
    "quantized_cnn": {"width": 4},
    "preact_resnet18": {"width": 4},
    "resnet18": {"width": 4},
    "wide_resnet": {"depth": 10, "widen_factor": 1},
    "vit": {"depth": 1, "hidden": 16, "heads": 4},
}
every_network = pytest.mark.parametrize("name", sorted(SMALL))
both_ways = pytest.mark.parametrize("retraction", [False, True], ids=["functional", "retraction"])


def network(name: str = "small_cnn", num_classes: int = 5, **parameters: Any) -> Classifier:
    return create_model(name, (1, 16, 16), num_classes, {**SMALL[name], **parameters}).eval()


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def small_head(*, bias: bool = True, retraction: bool = False) -> CosineHead:
    torch.manual_seed(0)
    return CosineHead(6, 4, bias=bias, retraction=retraction).double()


def features(n: int = 5) -> Tensor:
    return 3.0 * torch.randn(n, 6, generator=torch.Generator().manual_seed(1)).double()


@every_network
def test_a_linear_head_is_a_plain_linear_layer_with_the_weights_it_always_had(name):
    model = network(name)
    assert type(model.classifier) is nn.Linear
    torch.manual_seed(3)
    expected = nn.Linear(7, 5)
    torch.manual_seed(3)
    head = create_head(7, 5, model.Parameters.create({}))  # pyright: ignore[reportArgumentType]
    assert torch.equal(head.weight, expected.weight) and torch.equal(head.bias, expected.bias)


@every_network
@pytest.mark.parametrize("normalisation", ["functional", "retraction"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_every_network_can_end_in_cosines_under_the_same_names(name, normalisation, bias):
    model = network(name, head="cosine", head_bias=bias, head_normalisation=normalisation)
    names = set(network(name).state_dict())
    assert set(model.state_dict()) == (names if bias else names - {"classifier.bias"})
    with torch.no_grad():
        z = model.features(images())
        head = cosine_head(model, "a test")
        expected = F.cosine_similarity(z[:, None], head.weight, dim=2)
        logits = model(images())
    offset = head.bias if bias else torch.zeros(5)
    torch.testing.assert_close(logits, expected + offset, rtol=1e-5, atol=1e-6)


@both_ways
def test_cosines_do_not_depend_on_lengths_and_weights_are_left_alone(retraction):
    head, z = small_head(bias=False, retraction=retraction), features()
    with torch.no_grad():
        logits = head(z)
        assert logits.abs().max() <= 1.0 + 1e-12
        torch.testing.assert_close(head(7.0 * z), logits)
        head.weight *= torch.tensor([[0.5], [2.0], [1.0], [9.0]])
        before = head.weight.clone()
        torch.testing.assert_close(head(z), logits)
    assert torch.equal(head.weight, before)


@both_ways
def test_features_and_weights_of_length_zero_give_cosine_zero_and_no_nan(retraction):
    head = small_head(bias=False, retraction=retraction)
    z = torch.zeros(2, 6).double().requires_grad_()
    head.weight.data[0] = 0.0
    logits = head(z)
    logits.sum().backward()
    assert torch.equal(logits, torch.zeros(2, 4).double())
    assert z.grad is not None and torch.isfinite(z.grad).all()
    assert head.weight.grad is not None and torch.isfinite(head.weight.grad).all()


def gradient(head: CosineHead, z: Tensor) -> Tensor:
    mixture = torch.randn(len(z), 4, generator=torch.Generator().manual_seed(2)).double()
    (found,) = torch.autograd.grad((mixture * head(z)).sum(), head.weight)
    return found


def test_functional_gradient_has_no_radial_part_and_retraction_keeps_it():
    z, functional, retraction = features(), small_head(), small_head(retraction=True)
    unit = F.normalize(functional.weight.detach(), dim=1)
    functional.weight.data = unit.clone()
    retraction.weight.data = unit.clone()
    whole, tangential = gradient(retraction, z), gradient(functional, z)
    radial = (whole * unit).sum(dim=1, keepdim=True)
    assert radial.abs().max() > 0.1
    torch.testing.assert_close(tangential, whole - radial * unit)
    assert (tangential * unit).sum(dim=1).abs().max() < 1e-12


def test_retraction_is_the_released_step():
    """The released forward writes W / ||W|| into W and takes the gradient of a plain product."""
    z, head = features(), small_head(retraction=True)
    released = head.weight.detach().clone()
    optimiser = torch.optim.SGD([head.weight], lr=0.3, momentum=0.9)
    velocity = torch.zeros_like(released)
    mixture = torch.randn(len(z), 4, generator=torch.Generator().manual_seed(2)).double()
    for _ in range(4):
        released = F.normalize(released, dim=1)
        velocity = 0.9 * velocity + mixture.T @ F.normalize(z, dim=1)
        released = released - 0.3 * velocity
        optimiser.zero_grad()
        head.weight.grad = gradient(head, z)
        optimiser.step()
        assert (head.weight.norm(dim=1) - 1.0).abs().max() > 1e-3
        retract_weights(nn.Sequential(head))
        torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(4).double())
        torch.testing.assert_close(head.weight.detach(), F.normalize(released, dim=1))


def test_retracting_leaves_other_heads_alone():
    for head in (nn.Linear(6, 4), small_head()):
        before = copy.deepcopy(head.state_dict())
        retract_weights(nn.Sequential(head))
        assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


@both_ways
def test_logits_are_float32_under_autocast(retraction):
    head = small_head(retraction=retraction).float()
    z = features().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(z)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, head(z))


def test_input_gradient_agrees_with_finite_differences():
    assert torch.autograd.gradcheck(small_head(), features().requires_grad_(), atol=1e-6)
    assert torch.autograd.gradgradcheck(small_head(), features().requires_grad_(), atol=1e-5)


def test_scaled_twin_shares_the_weights_and_multiplies_the_logits():
    model = network(head="cosine")
    twin = with_scaled_logits(model, 8.0)
    x = images()
    torch.testing.assert_close(twin(x), 8.0 * model(x))
    assert {id(p) for p in twin.parameters()} == {id(p) for p in model.parameters()}
    model.classifier.bias.data += 1.0  # pyright: ignore
    torch.testing.assert_close(twin(x), 8.0 * model(x))


def test_raw_features_can_decide_otherwise_where_there_is_a_bias():
    model = network(head="cosine")
    head = cosine_head(model, "a test")
    head.bias.data = torch.tensor([0.05, 0.0, 0.0, 0.0, 0.0])
    x, twin = images(200), with_raw_features(model)
    with torch.no_grad():
        raw = model.features(x) @ F.normalize(head.weight, dim=1).T + head.bias
        torch.testing.assert_close(twin(x), raw)
        assert (twin(x).argmax(1) != model(x).argmax(1)).any()
        head.bias.data.zero_()
        assert torch.equal(twin(x).argmax(1), model(x).argmax(1))
    assert head.unit_features


@pytest.mark.slow
def test_a_cosine_head_compiles_into_one_graph():
    model = network(head="cosine")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(images()), model(images()))


@pytest.mark.parametrize(
    ("parameters", "without_bias", "message"),
    [
        (
            {},
            False,
            'it needs a network with a cosine head (head "cosine"), got a SmallCNN with another',
        ),
        (
            {"head": "cosine"},
            True,
            "it needs a cosine head without a bias (head_bias false), got one with a bias",
        ),
    ],
)
def test_refusals(parameters, without_bias, message):
    with pytest.raises(InputError) as error:
        cosine_head(network(**parameters), "it", without_bias=without_bias)
    assert str(error.value) == message
