"""Minimum-norm attacks against the distances that linear models give in closed form."""

import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor

from robust_core.acceleration.mode import Acceleration, use_acceleration
from robust_core.attacks.base import create_attack
from robust_core.attacks.fab import hyperplane_step
from robust_core.evaluation.evaluation import evaluate
from robust_core.inference.wrappers import AveragedPasses
from robust_core.models.base import create_model
from robust_core.threat_model import Norm
from tests.toys import LinearModel, SmallNet, middle_images

DISTANCE_TESTS = [
    ("deepfool", "Linf", {}),
    ("deepfool", "L2", {}),
    ("fab", "Linf", {"num_steps": 20, "overshoot": 1.0001}),
    ("fab", "L2", {"num_steps": 20, "overshoot": 1.0001}),
    (
        "cw",
        "L2",
        {
            "num_steps": 150,
            "num_binary_searches": 7,
            "learning_rate": 0.02,
            "initial_constant": 0.1,
        },
    ),
]


QUICK = {
    "cw": {
        "num_steps": 25,
        "num_binary_searches": 2,
        "initial_constant": 1.0,
        "learning_rate": 0.05,
    },
    "deepfool": {"num_steps": 20},
    "fab": {"num_steps": 10},
}


class Noisy(LinearModel):
    """A linear model of two classes whose logits have fresh noise at every pass."""

    stochastic = True
    num_passes = 0

    def __init__(self) -> None:
        super().__init__(num_classes=2)
        self.bias.data = torch.tensor([0.0, 0.2]) - (self.weight.data.sum(1) / 2)

    def forward(self, x: Tensor) -> Tensor:
        self.num_passes += 1
        logits = super().forward(x)
        return logits + 0.3 * torch.randn_like(logits)


@pytest.mark.parametrize("name", QUICK)
def test_more_passes_come_nearer_to_what_is_true_of_the_mean_model(name):
    """One pass is fallen by chance, short of the boundary; the mean of many has to cross it."""
    x = middle_images(40)
    exact = LinearModel(num_classes=2)
    exact.load_state_dict(Noisy().state_dict())
    logits = exact(x).detach()
    y, w = logits.argmax(1), exact.weight[1] - exact.weight[0]
    expected = (logits[:, 1] - logits[:, 0]).abs() / w.detach().norm()
    fallen, error = [], []
    for eot_samples in (1, 4, 20):
        attack = create_attack(name, norm="L2", eot_samples=eot_samples, **QUICK[name])
        x_adv = attack(Noisy(), x, y)
        fallen.append(int((exact(x_adv).argmax(1) != y).sum()))
        distance = attack.threat_model.distance(x_adv, x)
        error.append(float((distance / expected - 1).abs().median()))
    assert fallen[0] <= fallen[1] <= fallen[2] and fallen[0] < fallen[2]
    assert error[2] < error[1] < error[0]


@pytest.mark.parametrize("name", QUICK)
def test_averaged_passes_are_what_an_attack_on_their_mean_is(name):
    x = middle_images(4)
    y = Noisy()(x).argmax(1)
    model = Noisy()
    attack = create_attack(name, eot_samples=3, **QUICK[name])
    once = create_attack(name, **QUICK[name])
    found = attack(model, x, y)
    assert torch.equal(found, once(AveragedPasses(Noisy(), 3), x, y))
    assert model.num_passes % 3 == 1  # and the trial at the door
    assert attack.averaged_passes == 3
    assert attack.passes() == 3 * once.passes()
    report = evaluate(Noisy(), x, y, attack)
    assert 0 < report.backward_passes <= attack.passes() * len(x)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_passes_of_a_model_that_is_not_random_change_nothing(name, precision):
    model = create_model("small_cnn", (1, 16, 16), 4, {"width": 4}).eval().requires_grad_(False)
    x = middle_images(4, (1, 16, 16))
    y = model(x).argmax(1)
    once, often = (
        create_attack(name, norm="L2", epsilon=3.0, eot_samples=n, **QUICK[name]) for n in (1, 2)
    )
    expected = once.threat_model.distance(once(model, x, y), x)
    with use_acceleration(Acceleration(precision)):
        found = often.threat_model.distance(often(model, x, y), x)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("name", "norm", "parameters"), DISTANCE_TESTS)
def test_distance_to_a_hyperplane(name, norm, parameters):
    # Two classes: the distance is |f| / ||w||_1 for Linf and |f| / ||w||_2 for L2.
    model, x = LinearModel(num_classes=2), middle_images(6)
    model.bias.data = torch.tensor([0.0, 0.2]) - (model.weight.data.sum(1) / 2)
    logits = model(x).detach()
    y = logits.argmax(1)
    w = model.weight[1] - model.weight[0]
    expected = (logits[:, 1] - logits[:, 0]).abs() / w.norm(p=1 if norm == "Linf" else 2)
    attack = create_attack(name, norm=norm, **parameters)
    x_adv = attack(model, x, y)
    assert (model(x_adv).argmax(1) != y).all()
    distance = attack.threat_model.distance(x_adv, x)
    assert (distance >= expected * 0.999).all()
    assert (distance / expected).median() < 1.04


@pytest.mark.parametrize("norm", list(Norm))
def test_hyperplane_step_is_the_optimum_of_a_general_solver(norm):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 1, 2, 3, generator=generator)
    w = torch.randn(6, 1, 2, 3, generator=generator)
    w[:, :, 0, 0] = 0.0
    target = torch.rand(6, 1, 2, 3, generator=generator)
    b = (w * target).flatten(1).sum(1)  # reachable: target is in the box
    delta = hyperplane_step(x, w, b, norm)
    torch.testing.assert_close((w * (x + delta)).flatten(1).sum(1), b, rtol=1e-4, atol=1e-5)
    assert (x + delta).min() >= -1e-6
    assert (x + delta).max() <= 1 + 1e-6
    for i in range(6):
        point, normal = x[i].flatten().double().numpy(), w[i].flatten().double().numpy()
        gap = b[i].item() - normal @ point
        if norm is Norm.LINF:  # variables delta and r: minimise r with |delta_i| <= r
            size = len(point)
            upper = [[float(j == i) for j in range(size)] + [-1.0] for i in range(size)]
            lower = [[-float(j == i) for j in range(size)] + [-1.0] for i in range(size)]
            answer = linprog(
                [0.0] * size + [1.0],
                A_ub=upper + lower,
                b_ub=[0.0] * (2 * size),
                A_eq=[[*normal, 0.0]],
                b_eq=[gap],
                bounds=[*((-p, 1 - p) for p in point), (0, None)],
            )
            assert abs(answer.fun - delta[i].abs().max().item()) < 1e-4
        else:
            answer = minimize(
                lambda d: d @ d,
                delta[i].flatten().numpy() * 0,
                bounds=[(-p, 1 - p) for p in point],
                constraints={
                    "type": "eq",
                    "fun": lambda d, normal=normal, gap=gap: normal @ d - gap,
                },
                options={"ftol": 1e-12, "maxiter": 500},
            )
            assert abs(answer.fun**0.5 - delta[i].norm().item()) < 1e-3


def test_hyperplane_out_of_reach_is_answered_with_the_walls():
    x = torch.full((1, 1, 1, 2), 0.5)
    w = torch.tensor([[[[1.0, -2.0]]]])
    for norm in Norm:
        delta = hyperplane_step(x, w, torch.tensor([9.0]), norm)
        torch.testing.assert_close(x + delta, torch.tensor([[[[1.0, 0.0]]]]))


def test_fab_without_targets_finds_the_nearest_of_all_boundaries():
    model, x = LinearModel(num_classes=4), middle_images(10)
    y = model(x).argmax(1)
    few = create_attack("fab", targeted=True, num_targets=1, num_steps=20)
    every = create_attack("fab", targeted=False, num_steps=20)
    distance = [attack.threat_model.distance(attack(model, x, y), x) for attack in (few, every)]
    assert (distance[1] <= distance[0] + 0.02 * distance[0].mean()).all()


@pytest.mark.slow
def test_fab_that_stops_at_epsilon_agrees_on_who_falls():
    model, x = SmallNet().eval(), middle_images(20, (1, 8, 8))
    y = model(x).argmax(1)
    nearest = create_attack("fab", num_steps=30)
    distance = nearest.threat_model.distance(nearest(model, x, y), x)
    epsilon = distance.median().item() * 1.001
    quick = create_attack("fab", num_steps=30, epsilon=epsilon, stop_at_epsilon=True)
    fallen = quick.threat_model.distance(quick(model, x, y), x) <= epsilon
    assert (fallen >= (distance <= epsilon)).all()
