import json
import math

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import ATTACKS, Attack, OnStep, create_attack
from robust_core.errors import InputError
from robust_core.evaluation.curves import accuracy_curve
from robust_core.evaluation.evaluation import evaluate
from tests.toys import LinearModel, labels, middle_images

GRID = [0.001 * step for step in range(1, 65)]


class NoisyModel(LinearModel):
    """A linear model of a noisy image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.3 * torch.randn_like(x))


def two_classes(n: int = 80) -> tuple[LinearModel, Tensor, Tensor, Tensor]:
    """A linear model, images, its own labels, and the Linf radius at which each image falls."""
    model = LinearModel(num_classes=2)
    model.bias.data = -0.5 * model.weight.data.sum(1)  # the boundary passes through grey
    x = middle_images(n)
    y = model(x).argmax(1)
    logits = model(x).detach()
    margin = (logits.gather(1, y[:, None]) - logits.gather(1, 1 - y[:, None])).squeeze(1)
    return model, x, y, margin / (model.weight[0] - model.weight[1]).abs().sum().item()


@pytest.mark.parametrize("name", ["fgsm", "pgd", "deepfool"])
def test_accuracy_against_epsilon_is_the_share_of_larger_margins(name):
    model, x, y, radius = two_classes()
    grid = [value for value in GRID if (radius - value).abs().min() > 2e-4]
    parameters = {"overshoot": 1e-3} if name == "deepfool" else {}
    curve = accuracy_curve(
        model, x, y, create_attack(name, norm="Linf", **parameters), "epsilon", grid[::-1]
    )
    assert curve.values == tuple(grid)
    expected = [(radius > epsilon).float().mean().item() for epsilon in grid]
    assert curve.accuracies == pytest.approx(expected)
    assert expected[0] > 0.9
    assert expected[-1] < 0.5


def test_bisection_agrees_with_the_naive_grid_and_runs_fewer_attacks():
    model, x = LinearModel(), middle_images(60)
    y = labels(60)
    attack = create_attack("pgd", random_start=False, num_steps=5)
    curve = accuracy_curve(model, x, y, attack, "epsilon", GRID, batch_size=32)
    naive = [evaluate(model, x, y, attack.model_copy(update={"epsilon": value})) for value in GRID]
    assert torch.equal(curve.robust_correct, torch.stack([one.robust_correct for one in naive]))
    correct = int(curve.clean_correct.sum())
    assert curve.attacked_images <= correct * math.ceil(math.log2(len(GRID) + 1))
    assert 8 * curve.backward_passes < sum(one.backward_passes for one in naive)


def test_a_minimum_norm_attack_runs_once():
    model, x, y, _ = two_classes(20)
    curve = accuracy_curve(model, x, y, create_attack("fab", num_steps=5), "epsilon", GRID)
    assert curve.attacked_images == 20
    assert curve.accuracies == sorted(curve.accuracies, reverse=True)


def test_radius_zero_is_clean_accuracy_without_an_attack():
    model, x, y = LinearModel(), middle_images(30), labels(30)
    curve = accuracy_curve(model, x, y, create_attack("fgsm"), "epsilon", [0.0])
    assert torch.equal(curve.robust_correct[0], curve.clean_correct)
    assert curve.attacked_images == 0


class Overreach(Attack):
    """Breaks every image with a perturbation far smaller than its radius."""

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        return x + 0.01

    def passes(self) -> int:
        return 1


class Brightness(nn.Module):
    """Says 1 where the mean is above 0.505."""

    def forward(self, x: Tensor) -> Tensor:
        lead = x.flatten(1).mean(1) - 0.505
        return torch.stack([-lead, lead], dim=1)


def test_a_short_perturbation_is_known_to_break_smaller_radii(monkeypatch):
    monkeypatch.setitem(ATTACKS._entries, "overreach", Overreach)
    x, y = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64)
    curve = accuracy_curve(Brightness(), x, y, Overreach(), "epsilon", [0.01, 0.02, 0.04, 0.08])
    assert curve.accuracies == [0.0] * 4
    assert curve.attacked_images == 3


def test_survivors_only_are_attacked_with_more_steps():
    model, x = LinearModel(), middle_images(60)
    y = model(x).argmax(1)
    attack = create_attack("pgd", epsilon=0.03, step_size=0.01, random_start=False)
    curve = accuracy_curve(model, x, y, attack, "num_steps", [1, 2, 3])
    for place, steps in enumerate((1, 2, 3)):
        single = evaluate(model, x, y, attack.model_copy(update={"num_steps": steps}))
        assert torch.equal(curve.robust_correct[place], single.robust_correct)
    survivors = curve.robust_correct[:-1].sum().item()
    assert curve.attacked_images == 60 + survivors < 180
    assert curve.accuracies[0] > curve.accuracies[-1]


def test_restarts_add_to_earlier_ones():
    model, x = LinearModel(), middle_images(40)
    y = model(x).argmax(1)
    attack = create_attack("random_search", epsilon=0.05, num_queries=1)
    queries = accuracy_curve(model, x, y, attack, "num_queries", [1, 5])
    assert queries.accuracies[1] <= queries.accuracies[0]
    pgd = create_attack("pgd", epsilon=0.02, num_steps=1, step_size=0.004)
    curve = accuracy_curve(model, x, y, pgd, "num_restarts", [1, 3, 4])
    assert curve.accuracies == sorted(curve.accuracies, reverse=True)
    assert curve.accuracies[-1] < curve.accuracies[0]
    standing = curve.robust_correct.sum(dim=1).tolist()
    assert curve.attacked_images == 40 + standing[0] + standing[1]
    assert curve.backward_passes <= 40 + 2 * standing[0] + standing[1]


def test_every_number_of_averaged_passes_stands_alone():
    model, x = LinearModel(), middle_images(20)
    y = model(x).argmax(1)
    curve = accuracy_curve(model, x, y, create_attack("pgd", num_steps=2), "eot_samples", [1, 4])
    assert curve.attacked_images == 40
    assert torch.equal(curve.robust_correct[0], curve.robust_correct[1])
    assert curve.backward_passes == 20 * 2 * (1 + 4)


@pytest.mark.parametrize(
    ("attack", "parameter", "values"),
    [
        ("pgd", "epsilon", GRID),
        ("deepfool", "epsilon", GRID),
        ("pgd", "num_steps", [1, 2]),
        ("pgd", "eot_samples", [1, 2]),
    ],
)
def test_progress_rises_to_its_end(attack, parameter, values):
    seen = []
    model, x, y = LinearModel(), middle_images(30), labels(30)
    parameters = {"num_steps": 3}
    accuracy_curve(
        model,
        x,
        y,
        create_attack(attack, **parameters),
        parameter,
        values,
        batch_size=7,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert len({total for _, total in seen}) == 1
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


def test_curve_is_plain_json_and_never_above_clean_accuracy():
    model, x, y = LinearModel(), middle_images(30), labels(30)
    curve = accuracy_curve(model, x, y, create_attack("fgsm"), "epsilon", GRID[:4])
    values = json.loads(json.dumps(curve.to_json()))
    assert values["accuracies"] == curve.accuracies
    assert max(values["accuracies"]) <= values["clean_accuracy"] < 1.0
    for accuracy, (low, high) in zip(curve.accuracies, curve.intervals, strict=True):
        assert low <= accuracy <= high


def test_a_model_that_is_always_wrong_gives_a_flat_curve():
    model, x = LinearModel(), middle_images(5)
    y = (model(x).argmax(1) + 1) % 3
    curve = accuracy_curve(model, x, y, create_attack("deepfool"), "epsilon", GRID[:2])
    assert curve.accuracies == [0.0, 0.0]


@pytest.mark.parametrize(
    ("parameter", "values", "sentence"),
    [
        ("epsilon", [], "at least one value of epsilon"),
        ("epsilon", [0.1, 8.0], "did you mean 8/255"),
        ("num_queries", [1], "attack pgd has no parameter 'num_queries'"),
        ("num_steps", [0], "num_steps must be >= 1, got 0"),
    ],
)
def test_wrong_input_is_one_sentence(parameter, values, sentence):
    with pytest.raises(InputError, match=sentence):
        accuracy_curve(
            LinearModel(), middle_images(2), labels(2), create_attack("pgd"), parameter, values
        )


def test_verdicts_of_a_curve_are_those_of_the_evaluation():
    model, x, y = NoisyModel(), middle_images(40), labels(40)
    attack = create_attack("pgd", epsilon=0.05, num_steps=2)
    found = [
        accuracy_curve(model, x, y, attack, "epsilon", [0.05], num_repeats=number).accuracies[0]
        for number in (1, 8)
    ]
    assert found[1] < found[0]


def test_an_ensemble_that_averages_nothing_has_no_curve_of_averaged_passes():
    attack = create_attack("autoattack")
    with pytest.raises(InputError, match="attack autoattack, as it is set here, averages no"):
        accuracy_curve(LinearModel(), middle_images(4), labels(4), attack, "eot_samples", [20, 40])
