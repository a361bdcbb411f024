import pytest
import torch
from torch import Tensor

from robust_core.attacks.apgd import likely_wrong_classes
from robust_core.attacks.base import create_attack
from robust_core.attacks.ensemble import AutoAttack, WorstCase
from robust_core.attacks.spatial import rotate_and_shift
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.losses import (
    difference_of_logits_ratio,
    margin,
    targeted_difference_of_logits_ratio,
)
from tests.toys import LinearModel, SmallNet, labels, middle_images


class Quantised(LinearModel):
    """A linear model behind a rounded input: its gradient is zero almost everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 8).round() / 8)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("square", {"num_queries": 300}),
        ("square", {"num_queries": 300, "norm": "L2", "epsilon": 0.8}),
        ("random_search", {"num_queries": 300, "noise": "corner"}),
        ("spsa", {"num_steps": 20, "difference": 0.1, "learning_rate": 0.05}),
    ],
)
def test_outputs_are_enough_where_gradients_are_masked(name, parameters):
    model, x = Quantised(), middle_images(20)
    y = model(x).argmax(1)
    parameters = {"epsilon": 0.2, **parameters}
    masked = evaluate(model, x, y, create_attack("pgd", random_start=False, epsilon=0.2))
    assert masked.robust_accuracy == 1.0
    found = evaluate(model, x, y, create_attack(name, **parameters))
    assert found.robust_accuracy <= 0.4


@pytest.mark.slow
def test_square_gets_near_the_optimum_of_a_linear_model():
    model, x = LinearModel((3, 8, 8), num_classes=2, scale=0.1), middle_images(6, (3, 8, 8))
    y = model(x).argmax(1)
    w = (model.weight[1] - model.weight[0]).abs().sum()
    attack = create_attack("square", epsilon=0.01, num_queries=3000)
    gained = margin(model(attack(model, x, y)), y) - margin(model(x), y)
    reached = model(attack(model, x, y)).argmax(1) != y
    assert ((gained > 0.85 * 0.01 * w) | reached).all()


def test_dlr_ignores_shift_and_scale_of_the_logits():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    y, target = labels(6, 5), (labels(6, 5) + 1) % 5
    first = difference_of_logits_ratio(logits, y)
    torch.testing.assert_close(first, difference_of_logits_ratio(1000 * logits + 3, y))
    second = targeted_difference_of_logits_ratio(logits, y, target)
    torch.testing.assert_close(
        second, targeted_difference_of_logits_ratio(1000 * logits + 3, y, target)
    )


def test_dlr_is_its_formula():
    logits = torch.tensor([[4.0, 1.0, 3.0, 0.0]])
    y, target = torch.tensor([0]), torch.tensor([1])
    assert difference_of_logits_ratio(logits, y).item() == pytest.approx(-(4 - 3) / (4 - 1))
    value = targeted_difference_of_logits_ratio(logits, y, target).item()
    assert value == pytest.approx(-(4 - 1) / (4 - 0.5 * (1 + 0)))


@pytest.mark.parametrize("num_classes", [2, 3])
def test_few_classes_are_no_obstacle(num_classes):
    model, x = LinearModel(num_classes=num_classes), middle_images(4)
    y = model(x).argmax(1)
    for loss in ("dlr", "targeted_dlr"):
        attack = create_attack("apgd", loss=loss, num_steps=10, epsilon=0.3)
        assert evaluate(model, x, y, attack).robust_accuracy == 0.0


def test_likely_wrong_classes_leave_out_the_label():
    logits = torch.tensor([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]])
    ranked = likely_wrong_classes(logits, torch.tensor([1, 2]))
    assert ranked.tolist() == [[2, 0], [0, 1]]


def test_apgd_on_a_linear_model_reaches_the_corner():
    model, x = LinearModel(num_classes=2), middle_images(5)
    model.bias.data = torch.tensor([100.0, -100.0])  # nothing falls: the search runs its course
    y = torch.zeros(5, dtype=torch.int64)
    attack = create_attack("apgd", loss="margin", epsilon=0.05, num_steps=20)
    gained = margin(model(attack(model, x, y)), y) - margin(model(x), y)
    expected = 0.05 * (model.weight[1] - model.weight[0]).abs().sum()
    torch.testing.assert_close(gained, expected.expand(5), rtol=1e-3, atol=1e-3)


def test_apgd_is_at_least_as_strong_as_pgd():
    model, x = SmallNet().eval(), middle_images(60, (1, 8, 8))
    y = model(x).argmax(1)
    losses = {}
    for name in ("pgd", "apgd"):
        attack = create_attack(name, loss="margin", epsilon=0.02, num_steps=20)
        losses[name] = margin(model(attack(model, x, y)), y).mean().item()
    assert losses["apgd"] >= losses["pgd"] - 1e-4


def test_worst_case_attacks_survivors_only_and_is_as_strong_as_its_strongest():
    model, x, y = LinearModel(), middle_images(40), labels(40)
    names = ("fgsm", "pgd")
    single = [evaluate(model, x, y, create_attack(name, epsilon=0.04)) for name in names]
    ensemble = create_attack("worst_case", epsilon=0.04, attacks=[{"name": name} for name in names])
    report = evaluate(model, x, y, ensemble)
    both = single[0].robust_correct & single[1].robust_correct
    assert (report.robust_correct <= both).all()
    cost = sum(one.backward_passes for one in single)
    assert report.backward_passes < cost


def test_worst_case_checks_its_members():
    with pytest.raises(InputError, match="unknown attack 'pgdd'"):
        create_attack("worst_case", attacks=[{"name": "pgdd"}])
    with pytest.raises(InputError, match="num_steps must be >= 1"):
        create_attack("worst_case", attacks=[{"name": "pgd", "parameters": {"num_steps": 0}}])


def test_worst_case_passes_its_ball_on():
    ensemble = create_attack("worst_case", norm="L2", epsilon=0.7, seed=3)
    assert isinstance(ensemble, WorstCase)
    for member in ensemble.members():
        assert (member.norm, member.epsilon, member.seed) == ("L2", 0.7, 3)


def test_autoattack_is_the_published_ensemble():
    attack = create_attack("autoattack", epsilon=0.1)
    assert isinstance(attack, AutoAttack)
    members = attack.members()
    assert [member.name for member in members] == ["apgd", "apgd", "fab", "square"]
    told = [member.model_dump() for member in members]
    assert [told[i]["loss"] for i in (0, 1)] == ["cross_entropy", "targeted_dlr"]
    assert told[1]["num_targets"] == told[2]["num_targets"] == 9
    assert told[0]["num_steps"] == told[1]["num_steps"] == told[2]["num_steps"] == 100
    assert told[3]["num_queries"] == 5000
    rand = create_attack("autoattack", version="rand")
    assert isinstance(rand, AutoAttack)
    assert [(m.name, m.model_dump()["eot_samples"]) for m in rand.members()] == [("apgd", 20)] * 2


@pytest.mark.slow
def test_autoattack_leaves_no_breakable_image_standing():
    model, x = LinearModel(num_classes=4), middle_images(8)
    y = model(x).argmax(1)
    distance = create_attack("fab", targeted=False, num_steps=30)
    nearest = distance.threat_model.distance(distance(model, x, y), x)
    epsilon = nearest.median().item()
    report = evaluate(model, x, y, create_attack("autoattack", epsilon=epsilon * 1.02))
    assert (report.robust_correct <= (nearest > epsilon)).all()


def test_rotation_by_ninety_degrees_and_shift_by_a_pixel_are_exact():
    x = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rotate_and_shift(x, 90.0, 0, 0), x.rot90(1, (2, 3)))
    shifted = rotate_and_shift(x, 0.0, 1.0, 2.0)
    torch.testing.assert_close(shifted[:, :, 1:, 2:], x[:, :, :-1, :-2])
    assert not shifted[:, :, 0].any()
