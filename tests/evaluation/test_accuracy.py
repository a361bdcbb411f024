import json
import math

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import Attack, OnStep, create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.lowest import wilson_interval
from tests.toys import LinearModel, labels, middle_images


def test_accuracies_are_counts_of_the_outcomes():
    model, x, y = LinearModel(), middle_images(50), labels(50)
    attack = create_attack("fgsm", epsilon=0.05)
    report = evaluate(model, x, y, attack, batch_size=16)
    assert torch.equal(report.clean_correct, model(x).argmax(1) == y)
    still = (model(attack(model, x, y)).argmax(1) == y) & report.clean_correct
    assert torch.equal(report.robust_correct, still)
    assert report.robust_accuracy == still.sum().item() / 50
    assert report.robust_accuracy < report.clean_accuracy
    assert report.num_images == 50


def test_passes_are_counted_and_wrong_images_are_not_attacked():
    model, x, y = LinearModel(), middle_images(50), labels(50)
    report = evaluate(model, x, y, create_attack("pgd", num_steps=7))
    attacked = int(report.clean_correct.sum())
    assert report.backward_passes == 7 * attacked
    assert report.forward_passes == 50 + 8 * attacked
    assert not report.distance[~report.clean_correct].any()


def test_batches_do_not_change_the_outcome_of_a_deterministic_attack():
    model, x, y = LinearModel(), middle_images(30), labels(30)
    attack = create_attack("pgd", random_start=False)
    whole, parts = (evaluate(model, x, y, attack, batch_size=size) for size in (30, 7))
    assert torch.equal(whole.robust_correct, parts.robust_correct)
    torch.testing.assert_close(whole.distance, parts.distance)


def test_progress_reaches_the_end():
    seen = []
    model, x, y = LinearModel(), middle_images(10), labels(10)
    evaluate(model, x, y, batch_size=4, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (8, 10), (10, 10)]


class NoisyModel(LinearModel):
    """Looks at the image through noise of its own, from torch's default generator."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.3 * torch.randn_like(x))


def test_the_seed_decides_the_noise_of_a_random_model():
    model, x, y = NoisyModel(), middle_images(60), labels(60)
    torch.manual_seed(5)
    following = torch.rand(3)
    attack = create_attack("pgd", norm="L2", epsilon=0.3, num_steps=3)
    reports = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        seeded = attack.model_copy(update={"seed": seed})
        reports.append(evaluate(model, x, y, seeded, batch_size=25))
        assert torch.equal(torch.rand(3), following)  # the generator is as it was
        torch.manual_seed(6)
    one, again, other = (report.to_json() | {"seconds": 0} for report in reports)
    assert one == again
    assert one["prediction"] == other["prediction"]  # clean accuracy needs no attack's seed
    assert one["distance"] != other["distance"]


def test_batches_draw_noise_of_their_own():
    image = middle_images(1)
    report = evaluate(NoisyModel(), image.repeat(40, 1, 1, 1), labels(40), batch_size=1)
    assert len(report.prediction.unique()) > 1


class CoinModel(LinearModel):
    """Is right with probability 0.8, whatever it sees; every image for itself."""

    def forward(self, x: Tensor) -> Tensor:
        right = torch.rand(len(x)) < 0.8
        logits = torch.zeros(len(x), 3)
        logits[:, 1] = 2 * right - 1.0  # label 1, or else class 0
        return logits + 0.0 * super().forward(x)


@pytest.mark.parametrize(("num_repeats", "share"), [(1, 0.8), (3, 0.8**3)])
def test_only_what_is_right_in_every_verdict_counts(num_repeats, share):
    x, y = middle_images(4000), torch.ones(4000, dtype=torch.int64)
    attack = create_attack("fgsm", epsilon=0.01)
    report = evaluate(CoinModel(), x, y, attack, num_repeats=num_repeats)
    assert report.clean_accuracy == pytest.approx(share, abs=0.03)
    assert report.robust_accuracy == pytest.approx(share**2, abs=0.03)  # right twice over
    assert torch.equal(report.prediction == y, report.clean_correct)
    assert torch.equal(report.attacked_prediction == y, report.robust_correct)


class Cheat(Attack):
    """Leaves its ball."""

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None, on_step: OnStep | None
    ) -> Tensor:
        return 1 - x

    def passes(self) -> int:
        return 1


def test_an_attack_that_cheats_is_caught():
    model, x = LinearModel(), middle_images(4)
    with pytest.raises(RuntimeError, match="Cheat moved an image by"):
        evaluate(model, x, model(x).argmax(1), Cheat(epsilon=0.01))


class NearestFlip(Cheat):
    """A minimum-norm attack that always breaks the image, however far it must go."""

    minimum_norm = True


def test_minimum_norm_attacks_are_judged_by_distance():
    model = LinearModel(num_classes=2)
    model.bias.data = -model.weight.data.sum(1) / 2  # f(1 - x) = -f(x)
    x = middle_images(40)
    y = model(x).argmax(1)
    length = (1 - 2 * x).flatten(1).abs().amax(1)
    epsilon = length.median().item()
    report = evaluate(model, x, y, NearestFlip(epsilon=epsilon))
    assert torch.equal(report.robust_correct, length > epsilon + 1e-5)


def test_no_images_is_one_sentence():
    with pytest.raises(InputError, match="at least one image"):
        evaluate(LinearModel(), torch.zeros(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64))


def test_the_draws_that_judge_are_not_those_that_chose_the_image():
    """Else an image counts as right under attack by the luck that had it chosen."""
    draws: list[Tensor] = []

    class Recording(LinearModel):
        def forward(self, x: Tensor) -> Tensor:
            draws.append(torch.rand(1))
            return super().forward(x)

    model, x = Recording(), middle_images(4)
    y = model(x).argmax(dim=1)
    evaluate(model, x, y, create_attack("fgsm", epsilon=0.0))
    assert len(draws) == 5  # of the labels, the trial, the clean image, the attack, and its judge
    assert len({float(draw) for draw in draws}) == len(draws)


def test_wilson_interval_has_its_known_values():
    # Brown, Cai, DasGupta, Statistical Science 16 (2001): the bounds solve |p - s/n| = z sd(p).
    for successes, trials in ((0, 20), (7, 20), (20, 20), (450, 500)):
        low, high = wilson_interval(successes, trials)
        share = successes / trials
        assert 0 <= low <= share <= high <= 1
        for bound in (low, high):
            if 0 < bound < 1:
                deviation = math.sqrt(bound * (1 - bound) / trials)
                assert abs(abs(bound - share) - 1.959964 * deviation) < 1e-8


def test_report_is_plain_json():
    model, x, y = LinearModel(), middle_images(5), labels(5)
    text = json.dumps(evaluate(model, x, y, create_attack("pgd")).to_json())
    assert json.loads(text)["attack"]["name"] == "pgd"


def test_a_transfer_attack_is_made_on_the_surrogate_and_judged_on_the_model():
    model, surrogate, x = LinearModel(), LinearModel(seed=5), middle_images(60)
    y = model(x).argmax(1)
    attack = create_attack("fgsm", epsilon=0.1)
    report = evaluate(model, x, y, attack, surrogate=surrogate)
    x_adv = attack(surrogate, x, y)
    assert torch.equal(report.attacked_prediction, model(x_adv).argmax(1))
    assert torch.equal(report.robust_correct, model(x_adv).argmax(1) == y)
    assert report.robust_accuracy > evaluate(model, x, y, attack).robust_accuracy
    assert report.backward_passes == 60


def test_predictions_before_and_after():
    model, x, y = LinearModel(), middle_images(40), labels(40)
    report = evaluate(model, x, y, create_attack("fgsm", epsilon=0.1), batch_size=16)
    assert torch.equal(report.prediction, model(x).argmax(1))
    wrong = ~report.clean_correct
    assert torch.equal(report.attacked_prediction[wrong], report.prediction[wrong])
    assert torch.equal(report.attacked_prediction == y, report.robust_correct)


def test_modes_are_restored_module_by_module():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)).eval()
    model[1].train()
    evaluate(model, middle_images(4), labels(4), create_attack("fgsm"))
    assert [module.training for module in model.modules()] == [False, False, True, False]
