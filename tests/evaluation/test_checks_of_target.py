"""Whether the attack was made on what is judged: surrogates, randomness, defences."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robust_core.attacks.base import create_attack
from robust_core.evaluation.checks.rivals import check_black_box, check_transfer
from robust_core.evaluation.checks.target import (
    check_attacked_model,
    check_randomness,
    check_through_defence,
)
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Severity
from robust_core.evaluation.reliability import ReliabilityCase, check_reliability
from robust_core.units import percent
from tests.evaluation.diseased import (
    SHAPE,
    Noisy,
    Once,
    Quantised,
    QuantisedPart,
    severities,
    subject_of,
)
from tests.toys import LinearModel, middle_images


@pytest.mark.slow
def test_transfer_from_a_better_surrogate_is_noticed():
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    subject = subject_of(Quantised(SHAPE), attack, transfer_model=LinearModel(SHAPE))
    assert severities(subject)["transfer"] is Severity.FAIL


@pytest.mark.slow
def test_an_attack_on_the_judged_model_is_told_from_one_on_another():
    own = check_attacked_model(subject_of(LinearModel(SHAPE)))
    assert (own.severity, own.value) == (Severity.OK, 0.0)
    elsewhere = subject_of(LinearModel(SHAPE), surrogate=LinearModel(SHAPE, seed=5))
    direct = evaluate(elsewhere.model, elsewhere.x, elsewhere.y, elsewhere.attack)
    finding = check_attacked_model(elsewhere)
    assert finding.severity is Severity.FAIL
    assert finding.value == pytest.approx(elsewhere.robust_accuracy - direct.robust_accuracy)
    assert percent(direct.robust_accuracy, 1) in finding.sentence
    names = {one.name for one in check_reliability(elsewhere) if one.severity is Severity.FAIL}
    assert {"attacked_model", "black_box"} <= names


def test_an_equal_model_elsewhere_is_a_doubt_and_no_alarm():
    twin = subject_of(LinearModel(SHAPE), surrogate=LinearModel(SHAPE))
    assert check_attacked_model(twin).severity is Severity.WARN


def test_fewer_views_in_the_attack_than_in_the_decision_are_noticed():
    torch.manual_seed(0)
    attack = create_attack("pgd", epsilon=0.1, num_steps=5)
    finding = check_attacked_model(subject_of(Noisy(SHAPE), attack, eot_samples=8))
    assert finding.severity is not Severity.OK
    assert "1 of the 8 views" in finding.sentence
    equal = create_attack("pgd", epsilon=0.1, num_steps=5, eot_samples=8)
    assert check_attacked_model(subject_of(Noisy(SHAPE), equal, eot_samples=8)).severity == "ok"


def test_random_models_are_measured_at_several_numbers_of_passes():
    torch.manual_seed(0)
    attack = create_attack("pgd", epsilon=0.1, num_steps=2)
    subject = subject_of(NoisyGradient(SHAPE), attack, num_images=100, eot_samples=4)
    subject.effort = 1.0
    finding = check_randomness(subject)
    assert finding is not None and finding.severity is not Severity.OK
    assert "with 5" in finding.sentence and "with 20 passes per gradient" in finding.sentence


class NoisyGradient(LinearModel):
    """Nearly the same answer each time, but a gradient that is mostly noise."""

    stochastic = True

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if not torch.is_grad_enabled():
            return logits
        return logits + (4 * torch.randn_like(x) * (x - x.detach())).flatten(1) @ self.weight.T


class Transformed(LinearModel):
    """A toy of a defence at test time: it moves the image against the likely attack."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(1.0 - x)


def test_an_attack_around_a_defence_at_test_time_is_called_out():
    network, defended = LinearModel(SHAPE), Transformed(SHAPE)
    x = middle_images(40, SHAPE)
    y = defended(x).argmax(1)
    attack = create_attack("pgd", epsilon=0.1, num_steps=10)
    around = ReliabilityCase(defended, x, y, attack, surrogate=network, inference="imt")
    finding = check_through_defence(around)
    assert finding is not None and finding.severity is Severity.FAIL
    assert "ignored the test-time defence" in finding.sentence
    through = check_through_defence(ReliabilityCase(defended, x, y, attack, inference="imt"))
    assert through is not None and through.severity is Severity.OK
    assert check_through_defence(ReliabilityCase(network, x, y, attack)) is None


@pytest.mark.parametrize(
    ("name", "severity"),
    [("pgd", Severity.FAIL), ("bpda", Severity.OK), ("square", Severity.OK)],
)
def test_a_part_that_masks_gradients_has_to_be_passed_through(name, severity):
    parameters = {"random_start": False} if name != "square" else {"num_queries": 5}
    attack = create_attack(name, epsilon=0.1, **parameters)
    finding = check_through_defence(subject_of(QuantisedPart(SHAPE), attack))
    assert finding is not None and finding.severity is severity


def test_a_part_that_hides_its_gradient_is_not_gone_around():
    subject = subject_of(QuantisedPart(SHAPE), create_attack("mim", epsilon=0.1, num_steps=5))
    finding = check_through_defence(subject)
    assert finding is not None and finding.severity is Severity.FAIL
    assert finding.sentence.startswith("A part of the model masks its gradient from this attack")
    assert "BPDA through it leaves" in finding.sentence
    assert "ignored" not in finding.sentence
    assert check_attacked_model(subject).severity is Severity.OK
    elsewhere = subject_of(QuantisedPart(SHAPE), surrogate=LinearModel(SHAPE, seed=5))
    finding = check_through_defence(elsewhere)
    assert finding is not None and "ignored the test-time defence" in finding.sentence


def test_bpda_that_passes_through_another_part_does_not_get_through():
    model = QuantisedPart(SHAPE)
    model.identity = torch.nn.Identity()
    attack = create_attack("bpda", epsilon=0.1, num_steps=5, part="identity")
    finding = check_through_defence(subject_of(model, attack))
    assert finding is not None and finding.severity is Severity.FAIL
    assert "BPDA through it leaves" in finding.sentence


class HalfHidden(QuantisedPart):
    """A part that is said to mask the gradient, and passes all of it."""

    def __init__(self, shape):
        super().__init__(shape)
        self.quantise = torch.nn.Identity()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("fgsm", {}), ("pgd", {"num_steps": 1, "step_size": 0.001}), ("pgd", {"loss": "dlr"})],
)
def test_the_weakness_of_an_attack_is_not_blamed_on_the_part(name, parameters):
    subject = subject_of(HalfHidden(SHAPE), create_attack(name, epsilon=0.05, **parameters))
    finding = check_through_defence(subject)
    assert finding is not None
    assert (finding.severity, finding.value) == (Severity.OK, 0.0)
    assert "masks its gradient" not in finding.sentence
    assert finding.sentence.endswith("that may mask its gradient is not stronger.")


class UndeclaredNoise(Noisy):
    stochastic = False


def test_an_attack_that_cannot_average_leaves_a_doubt():
    attack = Once(epsilon=0.1)
    finding = check_attacked_model(subject_of(Noisy(SHAPE), attack, num_images=4, eot_samples=8))
    assert finding.severity is Severity.WARN
    assert "1 of the 8 views" in finding.sentence and "cannot" in finding.sentence


def test_noise_that_the_model_does_not_declare_is_measured():
    attack = create_attack("pgd", epsilon=0.1, num_steps=2)
    subject = subject_of(UndeclaredNoise(SHAPE), attack, num_images=8, eot_samples=8)
    assert subject.stochastic and not subject_of(LinearModel(SHAPE)).stochastic
    assert check_attacked_model(subject).severity is not Severity.OK
    assert check_randomness(subject) is not None


@pytest.mark.parametrize(
    ("num_broken", "severity"), [(0, Severity.OK), (1, Severity.OK), (2, Severity.FAIL)]
)
def test_one_image_of_sixteen_is_no_reason_and_two_are_an_alarm(num_broken, severity):
    subject = subject_of(LinearModel(SHAPE), create_attack("fgsm", epsilon=0.0), num_images=16)
    surrogate = LinearModel(SHAPE, seed=5)
    report = subject.report(subject.attack)
    standing = torch.arange(16) >= num_broken
    subject.transfer_model = surrogate
    subject._reports[subject.attack, surrogate] = replace(report, robust_correct=standing)
    finding = check_transfer(subject)
    assert finding is not None and (finding.value, finding.severity) == (num_broken / 16, severity)


def bpda(part: str) -> dict:
    return {"name": "bpda", "parameters": {"num_steps": 5, "part": part}}


@pytest.mark.filterwarnings("error:the model names no part")
def test_a_part_of_the_judged_model_is_not_looked_for_in_another():
    for part in ("", "quantise"):
        attack = create_attack("bpda", epsilon=0.1, **bpda(part)["parameters"])
        subject = subject_of(QuantisedPart(SHAPE), attack, transfer_model=LinearModel(SHAPE))
        finding = check_transfer(subject)
        assert finding is not None and finding.severity is Severity.OK
    several = create_attack("worst_case", epsilon=0.1, attacks=[bpda("quantise")])
    subject = subject_of(QuantisedPart(SHAPE), several, transfer_model=LinearModel(SHAPE))
    finding = check_transfer(subject)
    assert finding is not None and finding.severity is Severity.OK


def test_one_step_says_nothing_of_gradients_either():
    attack = create_attack("fgsm", epsilon=0.1)
    finding = check_transfer(
        subject_of(Quantised(SHAPE), attack, transfer_model=LinearModel(SHAPE), num_images=8)
    )
    assert finding is not None and finding.severity is Severity.FAIL
    assert "one step is a weak attack" in finding.sentence


def test_a_longer_search_without_gradients_says_nothing_of_gradients():
    attack = create_attack("random_search", epsilon=0.1, num_queries=1)
    finding = check_black_box(subject_of(LinearModel(SHAPE), attack))
    assert finding is not None and finding.severity is Severity.FAIL
    assert "gradient" not in (finding.sentence + finding.advice)
    assert "more queries" in finding.advice


def test_a_search_beaten_by_a_longer_one_asks_too_few_queries():
    attack = create_attack("square", epsilon=0.1, num_queries=1)
    subject = subject_of(LinearModel(SHAPE), attack)
    subject.longer = lambda: subject.other("square", num_queries=300)
    finding = check_black_box(subject)
    assert finding is not None and finding.severity is Severity.FAIL
    assert "too few queries" in finding.sentence and "gradient" not in finding.sentence
    assert finding.advice == "Report the attack with more queries."


def test_randomness_of_a_search_without_gradients_speaks_of_queries():
    attack = create_attack("square", epsilon=0.1, num_queries=20)
    finding = check_randomness(subject_of(Noisy(SHAPE), attack, num_images=8))
    assert finding is not None
    assert "per query" in finding.sentence and "gradient" not in finding.sentence


def test_a_ball_of_form_only_is_not_shared_with_other_attacks():
    attack = create_attack("spatial", num_rotations=1, num_shifts=1)
    subject = subject_of(LinearModel(SHAPE), attack, transfer_model=LinearModel(SHAPE, seed=5))
    assert check_black_box(subject) is None and check_transfer(subject) is None


class SaturatedCrossEntropy(LinearModel):
    """Sure of everything: cross-entropy has no gradient left, the margin has."""

    def forward(self, x: Tensor) -> Tensor:
        return 1e4 * super().forward(x)


def test_the_loss_is_blamed_where_another_loss_breaks_the_images():
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    subject = subject_of(SaturatedCrossEntropy(SHAPE), attack)
    finding = check_black_box(subject)
    assert finding is not None and finding.severity is Severity.FAIL
    assert "its loss is too weak" in finding.sentence
    assert "margin" in finding.advice and "gradients" not in finding.sentence


class NotFiniteWhenMoved(LinearModel):
    """Gives no numbers for images that were moved to the corners of the ball."""

    def __init__(self, shape, clean: Tensor) -> None:
        super().__init__(shape)
        self.clean = clean

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward((x * 8).round() / 8)  # no gradient to follow
        if len(x) != len(self.clean):
            return logits
        moved = (x - self.clean).abs().flatten(1).amax(dim=1) > 1e-3
        return torch.where(moved[:, None], torch.nan, logits)


@pytest.mark.filterwarnings("ignore:the model's outputs for")
def test_overflow_is_blamed_where_the_outputs_are_no_numbers():
    x = middle_images(40, SHAPE)
    model = NotFiniteWhenMoved(SHAPE, x)
    with torch.no_grad():
        y = model(x[:39]).argmax(dim=1)
    y = torch.cat([y, model(x[1:]).argmax(dim=1)[-1:]])
    attack = create_attack("pgd", epsilon=0.1, num_steps=3, random_start=False)
    subject = ReliabilityCase(model, x, y, attack, effort=0.1)
    finding = check_black_box(subject)
    assert finding is not None and finding.severity is Severity.FAIL
    assert "outputs there are not finite" in finding.sentence
    assert "overflow" in finding.advice
