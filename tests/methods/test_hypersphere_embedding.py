"""Hypersphere embedding on every method that offers it, against formulas and the plain methods."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from robust_core.attacks.pgd import PGD
from robust_core.errors import InputError
from robust_core.losses import kl_divergence
from robust_core.methods import list_methods
from robust_core.methods.base import METHODS, create_method
from robust_core.methods.free_at import FreeAT
from robust_core.methods.mart import boosted_cross_entropy, mart_loss
from robust_core.methods.parts.angular_margin import PLAIN, AngularMargin
from robust_core.methods.parts.label_smoothing import smooth_labels, soft_cross_entropy
from robust_core.models.base import Classifier
from robust_core.models.heads import with_scaled_logits
from robust_core.threat_model import Norm
from tests.methods.embedded import attached, batch, network

OFFERED = [
    name
    for name in list_methods()
    if "hypersphere_embedding" in METHODS.get(name).Parameters.model_fields
]
on_all = pytest.mark.parametrize("name", OFFERED)
FAR = {"norm": "Linf", "epsilon": 0.2}  # far enough that the logits differ


def trained_on(name: str, **parameters: Any) -> tuple[Tensor, float, Classifier]:
    """Return the last images that one training loss looked at, the loss and the network."""
    model, method = attached(name, **parameters)
    inputs: list[Tensor] = []
    model.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0].detach()))
    torch.manual_seed(0)
    loss = method.training_loss(model, batch()).loss.item()
    return inputs[-1], loss, model


def margined(cosines: Tensor, scale: float = 15.0, margin: float = 0.3) -> Tensor:
    return scale * (cosines - margin * F.one_hot(batch().y, 4))


def test_the_baselines_offer_it_and_what_they_do_not_share_stays_plain():
    expected = ["fast_at", "feature_scattering", "free_at", "mart", "pgd_at", "standard", "trades"]
    assert expected == OFFERED
    for name in list_methods():
        fields = METHODS.get(name).Parameters.model_fields
        if name not in OFFERED:
            assert create_method(name).angular_margin is PLAIN
            continue
        defaults = {key: fields[key].default for key in ("he_scale", "he_margin")}
        assert defaults == {"he_scale": 15.0, "he_margin": 0.2}
        assert fields["hypersphere_embedding"].default is False
        assert create_method(name).angular_margin == AngularMargin(False, 15.0, 0.2)


@pytest.mark.parametrize("name", ["standard", "fast_at", "free_at"])
def test_the_loss_is_cross_entropy_with_scale_and_margin(name):
    x, loss, model = trained_on(name, he_margin=0.3)
    assert loss == pytest.approx(F.cross_entropy(margined(model(x)), batch().y).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["mart", "fast_at"])
def test_the_attack_has_the_scale_and_no_margin(name):
    steps = {"num_steps": 3} if name == "mart" else {}
    x_adv, _, model = trained_on(name, he_margin=0.3, **FAR, **steps)
    assert torch.equal(x_adv, trained_on(name, he_margin=0.0, **FAR, **steps)[0])
    assert not torch.equal(x_adv, trained_on(name, he_scale=60.0, **FAR, **steps)[0])
    assert not torch.equal(model(x_adv), model(batch().x))


def test_marts_probabilities_are_those_of_the_scaled_cosines():
    x_adv, loss, model = trained_on("mart", he_margin=0.3, beta=2.0, **FAR)
    y, clean, cosines = batch().y, model(batch().x), model(x_adv)
    p, p_adv = (15.0 * clean).softmax(dim=1), (15.0 * cosines).softmax(dim=1)
    rows = torch.arange(len(y))
    wrong = p_adv.clone()
    wrong[rows, y] = 0.0
    boost = -torch.log(1.0001 - wrong.amax(dim=1))
    boosted = F.cross_entropy(margined(cosines), y, reduction="none") + boost
    weighted = kl_divergence(15.0 * clean, 15.0 * cosines) * (1.0 - p[rows, y])
    assert loss == pytest.approx((boosted + 2.0 * weighted).mean().item(), rel=1e-5)
    embedding = AngularMargin(True, 15.0, 0.3)
    torch.testing.assert_close(boosted_cross_entropy(cosines, y, embedding), boosted)
    without_margin = mart_loss(clean, cosines, y, 2.0, AngularMargin(True, 15.0, 0.0)).loss
    torch.testing.assert_close(without_margin, mart_loss(15 * clean, 15 * cosines, y, 2.0).loss)


def test_the_margin_does_not_turn_free_ats_perturbation():
    """The gradient of the margin loss is the plain one's, times a positive factor an image."""
    model, y = network(head="cosine", head_bias=False), batch().y
    gradients = []
    for margin in (0.0, 0.9):
        x = batch().x.requires_grad_()
        loss = F.cross_entropy(margined(model(x), margin=margin), y, reduction="sum")
        gradients.append(torch.autograd.grad(loss, x)[0].flatten(1))
    torch.testing.assert_close(F.normalize(gradients[0]), F.normalize(gradients[1]))
    deltas = []
    for margin in (0.0, 0.9):
        model, method = attached("free_at", norm="L2", epsilon=0.5, he_margin=margin)
        assert isinstance(method, FreeAT)
        for _ in range(3):
            method.training_loss(model, batch()).loss.backward()
            method.after_backward(model)
            method.after_step(model)
        deltas.append(method.own_state())
    assert deltas[0] is not None and bool(deltas[0].any())
    torch.testing.assert_close(deltas[0], deltas[1])


def test_feature_scattering_moves_images_alike_at_any_scale_and_learns_with_the_margin():
    x_adv, loss, model = trained_on("feature_scattering", he_margin=0.3, **FAR)
    other = trained_on("feature_scattering", he_margin=0.0, he_scale=3.0, **FAR)[0]
    assert torch.equal(x_adv, other)
    target = smooth_labels(batch().y, 4, 0.5)
    expected = soft_cross_entropy(margined(model(x_adv)), target).mean()
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_the_early_stop_of_fast_at_attacks_the_scaled_cosines(monkeypatch):
    model, method = attached("fast_at", epsilon=0.2)
    seen: list[Tensor] = []
    attack = PGD.__call__
    monkeypatch.setattr(
        PGD, "__call__", lambda self, *args: seen.append(attack(self, *args)) or seen[-1]
    )
    method.on_epoch_start(0, 2)
    method.training_loss(model, batch())
    method.reason_to_stop(model)
    assert all(module.training for module in model.modules())
    model.eval()
    pgd = PGD(norm=Norm.LINF, epsilon=0.2, step_size=0.05, num_steps=5)
    scaled, bare = (pgd(twin, batch().x, batch().y) for twin in (with_scale(model), model))
    assert torch.equal(seen[0], scaled)
    assert not torch.equal(seen[0], bare)


def with_scale(model: Classifier) -> Classifier:
    return with_scaled_logits(model, 15.0)


@on_all
def test_switched_off_scale_and_margin_change_nothing(name):
    losses = []
    for parameters in ({}, {"he_scale": 3.0, "he_margin": 0.7}):
        model, method = network(), create_method(name, parameters)
        method.attach(model)
        torch.manual_seed(0)
        losses.append(method.training_loss(model, batch()).loss)
    assert torch.equal(*losses)


@on_all
def test_the_trained_logits_are_an_inference(name):
    model, method = attached(name, he_scale=11.0)
    assert method.inferences(model) == ("scaled",)
    with torch.no_grad():
        scaled = method.inference("scaled", model)(batch().x)
        torch.testing.assert_close(scaled, 11.0 * model(batch().x))
    assert create_method(name).inferences(model) == ()


@on_all
def test_other_heads_are_refused_in_one_sentence(name):
    method = create_method(name, {"hypersphere_embedding": True})
    for parameters, message in (
        ({}, 'hypersphere embedding needs a network with a cosine head (head "cosine"), got a Sm'),
        ({"head": "cosine"}, "hypersphere embedding needs a cosine head without a bias"),
    ):
        with pytest.raises(InputError) as error:
            method.attach(network(**parameters))
        assert str(error.value).startswith(message)


@pytest.mark.slow
@on_all
def test_it_learns_and_stays_on_the_sphere(name):
    torch.manual_seed(0)
    model = network(head="cosine", head_bias=False, head_normalisation="retraction")
    method = create_method(name, {"hypersphere_embedding": True})
    method.attach(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(80):
        optimiser.zero_grad()
        method.training_loss(model, batch()).loss.backward()
        method.after_backward(model)
        optimiser.step()
        method.after_step(model)
    weight = model.get_parameter("classifier.weight")
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(4))
    assert torch.equal(model(batch().x).argmax(dim=1), batch().y)
