"""Whether the attack was strong enough to say anything."""

import pytest
import torch
from torch import Tensor

from robust_core.attacks.base import create_attack
from robust_core.evaluation.checks.rivals import check_black_box
from robust_core.evaluation.checks.scale import check_logit_scale
from robust_core.evaluation.checks.strength import (
    check_converged,
    check_large_epsilon,
    check_margin_loss,
    check_one_step,
    check_silent_success,
)
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.models.heads import CosineHead
from tests.evaluation.diseased import SHAPE, Noisy, Saturated, severities, subject_of
from tests.toys import LinearModel, middle_images


class Cosines(LinearModel):
    """A toy whose logits are the bare cosines of a cosine head."""

    def __init__(self, scale: float) -> None:
        super().__init__(SHAPE)
        self.classifier = CosineHead(16, 3, bias=False, retraction=False)
        self.classifier.weight.data = self.weight.detach().clone()
        self.classifier.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier((x - 0.5).flatten(1))


@pytest.mark.parametrize("check", [check_margin_loss, check_logit_scale])
def test_findings_about_the_loss_know_how_flat_cosines_are(check):
    told = {}
    for scale in (1.0, 8.0):
        subject = subject_of(Cosines(scale), create_attack("pgd", epsilon=0.1, num_steps=2))
        subject.__dict__["robust_accuracy"] = 1.0  # as if the loss had withstood
        finding = check(subject)
        assert finding is not None and finding.severity is Severity.FAIL
        told[scale] = finding.sentence
    assert "stays above about 0.24 nats" in told[1.0]
    assert "nats" not in told[8.0]


def losses_compared(model, loss: str, num_images: int = 40):
    attack = create_attack("apgd", epsilon=0.1, num_steps=5, loss=loss)
    finding = check_margin_loss(subject_of(model, attack, num_images=num_images))
    assert finding is not None
    return finding


@pytest.mark.parametrize("loss", ["margin", "dlr", "targeted_dlr"])
def test_the_losses_are_compared_both_ways(loss):
    finding = losses_compared(Saturated(SHAPE), loss)
    assert finding.severity is Severity.WARN and finding.value > finding.threshold
    assert f"disagree by {100 * finding.value:.1f} points" in finding.sentence
    assert "% with cross-entropy" in finding.sentence
    assert "worst case of both" in finding.advice
    assert losses_compared(LinearModel(SHAPE), loss).severity is Severity.OK


def test_a_better_cross_entropy_is_an_alarm_for_the_margin():
    subject = subject_of(LinearModel(SHAPE), create_attack("pgd", epsilon=0.1, loss="margin"))
    subject.__dict__["robust_accuracy"] = 1.0  # as if the margin had withstood
    finding = check_margin_loss(subject)
    assert finding is not None and finding.severity is Severity.FAIL
    assert "% with cross-entropy" in finding.sentence
    assert "100.0\u00a0% with the margin" in finding.sentence
    assert "with cross-entropy, or AutoAttack" in finding.advice


def test_one_image_that_falls_is_no_disagreement_of_losses():
    attack = create_attack("pgd", epsilon=0.3, loss="margin", random_start=False)
    subject = subject_of(Saturated(SHAPE), attack, num_images=1)
    finding = check_margin_loss(subject)
    assert subject.robust_accuracy == 0.0 and finding is not None
    other = subject.report(subject.changed(loss="cross_entropy"))
    assert other.robust_accuracy == 1.0 and finding.severity is Severity.OK
    assert finding.sentence == "The attack finds no more with cross-entropy than with the margin."


def test_a_scale_that_only_harms_the_attack_is_told_so():
    subject = subject_of(LinearModel(SHAPE))
    subject.__dict__["robust_accuracy"] = 0.0  # as if the scaled attack were the weaker one
    finding = check_logit_scale(subject)
    assert finding is not None and finding.value < 0
    assert finding.sentence == "Scaling all logits does not help the attack."


@pytest.mark.parametrize("name", ["square", "random_search"])
def test_queries_are_asked_for_more_queries(name):
    attack = create_attack(name, epsilon=0.15, num_queries=2)
    subject = subject_of(LinearModel(SHAPE), attack)
    subject.effort = 1.0
    finding = check_converged(subject)
    assert finding is not None and "8 queries" in finding.sentence
    assert "steps" not in finding.sentence and "restarts" not in finding.sentence
    assert finding.severity is (Severity.FAIL if finding.value > 0.05 else Severity.OK)


@pytest.mark.slow
def test_a_weak_attack_is_told_to_try_harder():
    attack = create_attack("pgd", epsilon=0.1, num_steps=2, step_size=0.002)
    found = severities(subject_of(LinearModel(SHAPE), attack))
    assert found["converged"] is Severity.FAIL
    assert found["one_step"] is Severity.FAIL
    for check in (check_one_step, check_black_box):
        finding = check(subject_of(LinearModel(SHAPE), attack))
        assert finding is not None and finding.severity is Severity.FAIL
        assert "gradient" not in finding.sentence + finding.advice
        assert "steps" in finding.advice or "longer" in finding.advice


def test_a_weak_attack_without_gradients_is_not_blamed_on_the_gradients():
    attack = create_attack("random_search", epsilon=0.01, noise="gaussian", num_queries=1)
    found = {f.name: f for f in check_reliability(subject_of(LinearModel(SHAPE), attack))}
    assert found["large_epsilon"].severity is Severity.FAIL
    assert found["large_epsilon"].advice == "Use a stronger attack, such as the adaptive one."


class Band(torch.nn.Module):
    """The mean pixel leaves class 0 between 0.56 and 0.66 only."""

    num_classes = 2

    def forward(self, x: Tensor) -> Tensor:
        within = 0.05 - (x.flatten(1).mean(dim=1) - 0.61).abs()
        return torch.stack([torch.zeros_like(within), within], dim=1)


@pytest.mark.parametrize("name", ["pgd", "bpda", "mim"])
def test_a_success_on_the_way_is_counted(name):
    parameters = {"epsilon": 0.3, "step_size": 0.1, "num_steps": 2, "random_start": False}
    x, y = torch.full((4, *SHAPE), 0.5), torch.zeros(4, dtype=torch.int64)
    subject = ReliabilityCase(Band().eval(), x, y, create_attack(name, **parameters))
    finding = check_silent_success(subject)  # the steps go to 0.6 and on to 0.7
    assert finding is not None and (finding.severity, finding.value) == (Severity.FAIL, 1.0)


def test_an_attack_that_keeps_its_first_success_is_not_asked_for_it():
    attack = create_attack("pgd", epsilon=0.1, num_steps=2, stop_when_fooled=True)
    assert check_silent_success(subject_of(LinearModel(SHAPE), attack)) is None


@pytest.mark.parametrize("eot_samples", [1, 4])
def test_noisy_looks_on_the_way_are_no_success(eot_samples):
    attack = create_attack("pgd", epsilon=0.0, num_steps=10)
    finding = check_silent_success(subject_of(Noisy(SHAPE), attack, eot_samples=eot_samples))
    assert finding is not None and finding.value == 0.0


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fgsm", {}),
        ("pgd", {"num_steps": 1}),
        ("worst_case", {"attacks": [{"name": "fgsm"}]}),
    ],
)
def test_a_single_step_is_not_asked_to_break_a_large_ball(name, parameters):
    attack = create_attack(name, epsilon=0.1, **parameters)
    assert check_large_epsilon(subject_of(LinearModel(SHAPE), attack)) is None


def test_a_ball_that_cannot_reach_grey_is_not_asked_about():
    shape = (3, 120, 120)  # 0.5 * sqrt(n) is 104, the largest L2 radius 100
    x = middle_images(2, shape)
    model = LinearModel(shape)
    attack = create_attack("pgd", norm="L2", epsilon=1.0, num_steps=2)
    assert check_large_epsilon(ReliabilityCase(model, x, model(x).argmax(1), attack)) is None


def test_momentum_is_asked_for_more_steps_and_one_start_for_no_restarts():
    model = LinearModel(SHAPE)
    weak = {"epsilon": 0.1, "num_steps": 2, "step_size": 0.002}
    found = check_converged(subject_of(model, create_attack("mim", **weak)))
    assert found is not None and found.severity is Severity.FAIL
    for random_start in (True, False):
        attack = create_attack("pgd", **weak, random_start=random_start)
        found = check_converged(subject_of(model, attack))
        assert found is not None and ("restarts" in found.sentence) == random_start
