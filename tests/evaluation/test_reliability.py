"""Each check raises its alarm on a model made to deserve it, and none on a sound one."""

import pytest
import torch
from torch import Tensor

from robust_core.attacks.base import create_attack
from robust_core.evaluation.finding import Severity, graded, overall
from robust_core.evaluation.reliability import Subject, check_gradients, check_reliability
from tests.toys import LinearModel, middle_images

SHAPE = (1, 4, 4)


def subject_of(model, attack=None, *, num_images=40, **options) -> Subject:
    x = middle_images(num_images, SHAPE)
    y = LinearModel(SHAPE)(x).argmax(1)
    attack = attack or create_attack("pgd", epsilon=0.1, num_steps=10)
    return Subject(model, x, y, attack, effort=0.3, **options)


def severities(subject: Subject) -> dict[str, Severity]:
    return {finding.name: finding.severity for finding in check_reliability(subject)}


class Quantised(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 8).round() / 8)


class Probabilities(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Noisy(LinearModel):
    stochastic = True

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.3 * torch.randn_like(x))


class Saturated(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return 1e4 * super().forward(x)


class NotFinite(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / torch.zeros(3)


def test_a_sound_model_raises_no_alarm():
    found = check_reliability(subject_of(LinearModel(SHAPE)))
    assert overall(found) is Severity.OK, [f for f in found if f.severity is not Severity.OK]
    names = {finding.name for finding in found}
    assert {"logits", "gradients", "one_step", "converged", "large_radius", "black_box"} <= names


@pytest.mark.parametrize(
    ("model", "alarms"),
    [
        (Quantised(SHAPE), {"gradients", "large_radius", "black_box"}),
        (Probabilities(SHAPE), {"logits"}),
        (Saturated(SHAPE), {"logit_scale", "margin_loss"}),
        (NotFinite(SHAPE), {"logits"}),
    ],
    ids=["quantised", "probabilities", "saturated", "not finite"],
)
def test_each_disease_is_caught(model, alarms):
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    found = severities(subject_of(model, attack))
    assert alarms <= {name for name, severity in found.items() if severity is Severity.FAIL}


def test_a_random_model_demands_eot():
    torch.manual_seed(0)
    assert severities(subject_of(Noisy(SHAPE)))["deterministic"] is Severity.FAIL
    attack = create_attack("pgd", epsilon=0.1, num_steps=5, eot_samples=4)
    found = severities(subject_of(Noisy(SHAPE), attack, eot_samples=4))
    assert found["deterministic"] is Severity.OK
    assert "randomness" in found


def test_a_weak_attack_is_told_to_try_harder():
    attack = create_attack("pgd", epsilon=0.1, num_steps=2, step_size=0.002)
    found = severities(subject_of(LinearModel(SHAPE), attack))
    assert found["converged"] is Severity.FAIL
    assert found["one_step"] is Severity.FAIL


def test_transfer_from_a_better_surrogate_is_noticed():
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    subject = subject_of(Quantised(SHAPE), attack, surrogate=LinearModel(SHAPE))
    assert severities(subject)["transfer"] is Severity.FAIL


class QuantisedPart(LinearModel):
    """The same model as `Quantised`, which says what masks its gradient."""

    masking_parts = ("quantise",)

    def __init__(self, shape):
        super().__init__(shape)
        self.quantise = Quantise()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.quantise(x))


class Quantise(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 8).round() / 8


@pytest.mark.parametrize(
    ("name", "severity"), [("pgd", Severity.FAIL), ("bpda", Severity.OK), ("square", None)]
)
def test_the_gradients_that_count_are_those_the_attack_follows(name, severity):
    subject = subject_of(QuantisedPart(SHAPE), create_attack(name, epsilon=0.1))
    finding = check_gradients(subject)
    assert (None if finding is None else finding.severity) is severity


@pytest.mark.parametrize(
    "model", [Quantised(SHAPE), Saturated(SHAPE), NotFinite(SHAPE), Noisy(SHAPE)]
)
def test_sentences_about_one_image_speak_of_one_image(model):
    torch.manual_seed(0)
    attack = create_attack("pgd", epsilon=0.3, num_steps=2, step_size=0.002, random_start=False)
    found = check_reliability(subject_of(model, attack, num_images=1))
    raised = [finding for finding in found if finding.severity is not Severity.OK]
    assert raised
    for finding in found:
        assert "%" not in finding.sentence and "images" not in finding.sentence


def test_sentences_about_many_images_give_shares():
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    found = {f.name: f.sentence for f in check_reliability(subject_of(Quantised(SHAPE), attack))}
    assert "zero at 100% of the images" in found["gradients"]
    assert "% of the images" in found["black_box"]


def test_a_weak_attack_without_gradients_is_not_blamed_on_the_gradients():
    attack = create_attack("random_search", epsilon=0.01, noise="gaussian", num_queries=1)
    found = {f.name: f for f in check_reliability(subject_of(LinearModel(SHAPE), attack))}
    assert found["large_radius"].severity is Severity.FAIL
    assert found["large_radius"].advice == "Use a stronger attack."


def test_findings_arrive_one_by_one():
    seen = []
    found = check_reliability(subject_of(LinearModel(SHAPE)), on_finding=seen.append)
    assert seen == found


def test_grades_follow_the_thresholds():
    def severity(value: float) -> Severity:
        return graded(
            "x", value, warn_above=0.1, fail_above=0.2, ok="fine", otherwise="bad", advice="do"
        ).severity

    assert [severity(v) for v in (0.1, 0.11, 0.2, 0.21)] == ["ok", "warn", "warn", "fail"]
    assert overall([]) is Severity.OK
