"""Hypersphere embedding on PGD-AT and TRADES, against its formula and the plain methods."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.errors import InputError
from robust_core.losses import cross_entropy, kl_divergence
from robust_core.methods.base import create_method
from robust_core.methods.parts.angular_margin import PLAIN, AngularMargin
from robust_core.methods.trades import trades_loss
from robust_core.models.base import Classifier
from tests.methods.embedded import attached, batch, network

COSINES = torch.tensor([[0.5, 0.3, -0.1, 0.05], [0.1, 0.45, -0.2, 0.35]])
Y = torch.tensor([0, 3])
on_both = pytest.mark.parametrize("name", ["pgd_at", "trades"])


def test_loss_is_its_formula():
    found = cross_entropy(AngularMargin(True, 15.0, 0.2).with_margin(COSINES, Y), Y)
    for row, label, loss in zip(COSINES.tolist(), Y.tolist(), found.tolist(), strict=True):
        shifted = torch.tensor([15.0 * (z - 0.2 * (k == label)) for k, z in enumerate(row)])
        expected = -torch.log(shifted[label].exp() / shifted.exp().sum())
        assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_without_margin_it_is_cross_entropy_of_the_scaled_cosines():
    embedding = AngularMargin(True, 15.0, 0.0)
    expected = F.cross_entropy(15.0 * COSINES, Y, reduction="none")
    torch.testing.assert_close(cross_entropy(embedding.with_margin(COSINES, Y), Y), expected)
    torch.testing.assert_close(cross_entropy(embedding.scaled(COSINES), Y), expected)


def test_switched_off_everything_passes_through():
    assert PLAIN.scaled(COSINES) is COSINES
    assert PLAIN.with_margin(COSINES, Y) is COSINES


@on_both
def test_switched_off_scale_and_margin_change_nothing(name):
    losses = []
    for parameters in ({}, {"he_scale": 3.0, "he_margin": 0.7}):
        model, method = network(), create_method(name, parameters)
        method.attach(model)
        torch.manual_seed(0)
        losses.append(method.training_loss(model, batch()).loss)
    assert torch.equal(*losses)


def attacked(name: str, **parameters: Any) -> tuple[Tensor, float, Classifier]:
    """Return the attacked images of one training loss, the loss and the network."""
    model, method = attached(name, **parameters)
    inputs: list[Tensor] = []
    model.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0].detach()))
    torch.manual_seed(0)
    loss = method.training_loss(model, batch()).loss.item()
    return inputs[-1], loss, model


def test_pgd_at_attacks_without_margin_and_learns_with_it():
    x_adv, loss, model = attacked("pgd_at", he_margin=0.3)
    unmargined = attacked("pgd_at", he_margin=0.0)[0]
    assert torch.equal(x_adv, unmargined)
    assert not torch.equal(x_adv, attacked("pgd_at", he_scale=60.0)[0])
    shifted = 15.0 * (model(x_adv) - 0.3 * F.one_hot(batch().y, 4))
    assert loss == pytest.approx(F.cross_entropy(shifted, batch().y).item(), rel=1e-5)


def test_trades_has_the_margin_in_its_cross_entropy_and_the_scale_in_both():
    x_adv, loss, model = attacked("trades", he_margin=0.3, beta=2.0)
    clean, cosines = model(batch().x), model(x_adv)
    natural = F.cross_entropy(15.0 * (clean - 0.3 * F.one_hot(batch().y, 4)), batch().y)
    divergence = kl_divergence(15.0 * clean, 15.0 * cosines).mean()
    assert loss == pytest.approx((natural + 2.0 * divergence).item(), rel=1e-5)
    plain = trades_loss(clean, cosines, batch().y, 2.0).loss
    assert loss != pytest.approx(plain.item(), rel=0.01)


@on_both
def test_the_trained_logits_are_an_inference(name):
    model, method = attached(name, he_scale=11.0)
    assert method.inferences(model) == ("scaled",)
    with torch.no_grad():
        scaled = method.inference("scaled", model)(batch().x)
        torch.testing.assert_close(scaled, 11.0 * model(batch().x))
    assert create_method(name).inferences(model) == ()
    with pytest.raises(InputError):
        create_method(name).inference("scaled", model)


@on_both
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {},
            'hypersphere embedding needs a network with a cosine head (head "cosine"), got a '
            "SmallCNN with another",
        ),
        (
            {"head": "cosine"},
            "hypersphere embedding needs a cosine head without a bias (head_bias false), got one "
            "with a bias",
        ),
    ],
)
def test_other_heads_are_refused_in_one_sentence(name, parameters, message):
    method = create_method(name, {"hypersphere_embedding": True})
    with pytest.raises(InputError) as error:
        method.attach(network(**parameters))
    assert str(error.value) == message


@pytest.mark.parametrize(
    "name",
    [
        *("standard", "pgd_at", "trades", "mart", "fast_at", "free_at", "feature_scattering"),
        *("atld", "gradient_norm", "pag"),
    ],
)
def test_methods_without_a_scale_refuse_bare_cosines_in_one_sentence(name):
    method = create_method(name)
    with pytest.raises(InputError) as error:
        method.attach(network(head="cosine", head_bias=False))
    offers = "hypersphere_embedding" in type(method).Parameters.model_fields
    what = "training without hypersphere embedding" if offers else type(method).__name__
    assert str(error.value) == (
        f'{what} needs a network with a linear head (head "linear"), got a cosine one, whose bare '
        "cosines leave the softmax almost flat; they have a scale only in spat, and with "
        "hypersphere embedding in the methods that offer it"
    )
    method.attach(network())


@pytest.mark.parametrize("name", ["pgd_at", "trades", "spat"])
def test_every_method_keeps_a_retraction_head_on_the_sphere(name):
    model = network(head="cosine", head_bias=False, head_normalisation="retraction")
    method = create_method(name, {} if name == "spat" else {"hypersphere_embedding": True})
    method.attach(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        method.training_loss(model, batch()).loss.backward()
        optimiser.step()
        method.after_step(model)
    weight = model.get_parameter("classifier.weight")
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(4))


def test_the_radius_of_trades_can_grow():
    model, images = network(), batch()
    method = create_method("trades", {"warmup_epochs": 4, "num_steps": 8})
    inputs: list[Tensor] = []
    model.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0].detach()))
    for epoch, radius in ((0, 0.0), (1, 0.031 / 4), (4, 0.031)):
        method.on_epoch_start(epoch, 10)
        method.training_loss(model, images)
        assert (inputs[-1] - images.x).abs().max().item() == pytest.approx(radius, abs=1e-6)
