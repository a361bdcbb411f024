"""What outputs and gradients alone give away: logits, repeatability, gradients."""

import pytest
import torch
from torch import Tensor

from robust_core.attacks.base import create_attack
from robust_core.evaluation.checks.outputs import (
    check_deterministic,
    check_finite_outputs,
    check_gradients,
    check_logits,
)
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.outputs import look_like_sigmoid
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.models.base import create_model
from robust_core.models.heads import CosineHead
from tests.evaluation.diseased import (
    SHAPE,
    Noisy,
    NotFinite,
    Once,
    QuantisedPart,
    Saturated,
    Sigmoid,
    severities,
    subject_of,
)
from tests.toys import LinearModel, labels, middle_images


def test_a_random_model_demands_eot():
    torch.manual_seed(0)
    assert severities(subject_of(Noisy(SHAPE)))["deterministic"] is Severity.FAIL
    attack = create_attack("pgd", epsilon=0.1, num_steps=5, eot_samples=4)
    found = severities(subject_of(Noisy(SHAPE), attack, eot_samples=4))
    assert found["deterministic"] is Severity.OK
    assert "randomness" in found


def test_outputs_that_are_no_numbers_leave_nothing_else_to_measure():
    found = check_reliability(subject_of(NotFinite(SHAPE)))
    assert [(one.name, one.severity) for one in found] == [("logits", Severity.FAIL)]


@pytest.mark.parametrize(
    ("name", "severity"), [("pgd", Severity.FAIL), ("bpda", Severity.OK), ("square", None)]
)
def test_the_gradients_that_count_are_those_the_attack_follows(name, severity):
    subject = subject_of(QuantisedPart(SHAPE), create_attack(name, epsilon=0.1))
    finding = check_gradients(subject)
    assert (None if finding is None else finding.severity) is severity


@pytest.mark.parametrize(
    ("name", "parameters", "severity"),
    [
        ("autoattack", {}, Severity.FAIL),
        ("autoattack", {"version": "rand"}, Severity.OK),
        ("pgd", {}, Severity.FAIL),
        (
            "worst_case",
            {"attacks": [{"name": "pgd", "parameters": {"eot_samples": 20}}]},
            Severity.OK,
        ),
    ],
)
def test_the_passes_that_count_are_those_a_gradient_averages(name, parameters, severity):
    attack = create_attack(name, epsilon=0.1, **parameters)
    finding = check_deterministic(subject_of(Noisy(SHAPE), attack, num_images=4))
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("loss", "severity", "word"),
    [("cross_entropy", Severity.FAIL, "cross-entropy"), ("margin", Severity.OK, "margin")],
)
def test_the_gradient_in_doubt_is_that_of_the_attack_s_own_loss(loss, severity, word):
    finding = check_gradients(subject_of(Saturated(SHAPE), create_attack("pgd", loss=loss)))
    assert finding is not None and finding.severity is severity
    assert word in finding.sentence
    assert ("Use the margin" in finding.advice) == (loss == "cross_entropy")


@pytest.mark.parametrize(
    ("attack", "how", "advice"),
    [
        (
            create_attack("pgd", epsilon=0.1),
            "uses one pass per gradient",
            "passes per gradient (EOT)",
        ),
        (create_attack("square", epsilon=0.1), "uses one pass per query", "passes per query (EOT)"),
        (Once(epsilon=0.1), "cannot average several passes", "an attack that averages passes"),
    ],
)
def test_advice_about_a_random_model_fits_the_attack(attack, how, advice):
    finding = check_deterministic(subject_of(Noisy(SHAPE), attack, num_images=4))
    assert finding.severity is Severity.FAIL
    assert how in finding.sentence and advice in finding.advice


def test_an_attack_without_gradients_averages_passes_per_query():
    attack = create_attack("square", epsilon=0.1, num_queries=10, eot_samples=5)
    finding = check_deterministic(subject_of(Noisy(SHAPE), attack, num_images=4))
    assert "averages 5 passes per query" in finding.sentence


@pytest.mark.parametrize(("num_images", "severity"), [(40, Severity.WARN), (5, Severity.OK)])
def test_outputs_of_a_sigmoid_are_a_doubt_where_they_are_many(num_images, severity):
    finding = check_logits(subject_of(Sigmoid(SHAPE), num_images=num_images))
    assert finding.severity is severity
    assert ("of a sigmoid" in finding.sentence) == (severity is Severity.WARN)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_small_outputs_of_a_linear_head_are_no_suspicion(head):
    model = create_model("small_cnn", (1, 8, 8), 5, {"width": 4, "head": head, "head_bias": True})
    layer = model.class_layer
    assert layer is not None
    with torch.no_grad():
        layer.weight.mul_(0.01)
        layer.bias.fill_(0.5)
    if isinstance(layer, CosineHead):
        layer.scale = 0.3  # the cosines alone would fill [-1, 1]
    x, y = middle_images(20, (1, 8, 8)), labels(20)
    subject = ReliabilityCase(model.eval(), x, y, create_attack("fgsm", epsilon=0.1))
    logits = subject.predict()
    assert look_like_sigmoid(logits) and not look_like_sigmoid(logits, model)
    assert check_logits(subject).severity is Severity.OK
    evaluate(model, x, y)


class BreaksWhenBright(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.where(x[:, :, 0, 0] > 0.7, float("nan"), 0.0)


@pytest.mark.filterwarnings("ignore:the model's outputs for")
def test_outputs_that_the_attack_breaks_are_told():
    subject = subject_of(BreaksWhenBright(SHAPE), create_attack("fgsm", epsilon=0.2))
    subject.report(subject.attack)
    finding = check_finite_outputs(subject)
    assert finding.severity is Severity.FAIL and 0 < finding.value < 1
    assert finding.sentence.startswith("Under attack")
    moved = create_attack("fgsm", epsilon=0.2)(subject.model, subject.x, subject.y)
    assert finding.value == pytest.approx(float((moved[:, 0, 0, 0] > 0.7).float().mean()))
