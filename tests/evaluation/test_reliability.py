"""Each check raises its alarm on a model made to deserve it, and none on a sound one."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from robust_core.attacks.base import create_attack
from robust_core.evaluation.accuracy import evaluate
from robust_core.evaluation.checks.outputs import (
    check_deterministic,
    check_gradients,
    check_logits,
)
from robust_core.evaluation.checks.strength import (
    check_converged,
    check_large_radius,
    check_logit_scale,
    check_margin_loss,
    check_one_step,
    check_silent_success,
)
from robust_core.evaluation.checks.target import (
    check_attacked_model,
    check_black_box,
    check_randomness,
    check_through_defence,
    check_transfer,
)
from robust_core.evaluation.finding import Severity, graded, overall
from robust_core.evaluation.reliability import Subject, check_reliability
from robust_core.models.heads import CosineHead
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
    for check in (check_one_step, check_black_box):
        finding = check(subject_of(LinearModel(SHAPE), attack))
        assert finding is not None and finding.severity is Severity.FAIL
        assert "gradient" not in finding.sentence + finding.advice
        assert "steps" in finding.advice or "longer" in finding.advice


def test_transfer_from_a_better_surrogate_is_noticed():
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    subject = subject_of(Quantised(SHAPE), attack, surrogate=LinearModel(SHAPE))
    assert severities(subject)["transfer"] is Severity.FAIL


def test_outputs_that_are_no_numbers_leave_nothing_else_to_measure():
    found = check_reliability(subject_of(NotFinite(SHAPE)))
    assert [(one.name, one.severity) for one in found] == [("logits", Severity.FAIL)]


def test_an_attack_on_the_judged_model_is_told_from_one_on_another():
    own = check_attacked_model(subject_of(LinearModel(SHAPE)))
    assert (own.severity, own.value) == (Severity.OK, 0.0)
    elsewhere = subject_of(LinearModel(SHAPE), crafted_on=LinearModel(SHAPE, seed=5))
    direct = evaluate(elsewhere.model, elsewhere.x, elsewhere.y, elsewhere.attack)
    finding = check_attacked_model(elsewhere)
    assert finding.severity is Severity.FAIL
    assert finding.value == pytest.approx(elsewhere.robust_accuracy - direct.robust_accuracy)
    assert f"leaves {direct.robust_accuracy:.1%}" in finding.sentence
    names = {one.name for one in check_reliability(elsewhere) if one.severity is Severity.FAIL}
    assert {"attacked_model", "black_box"} <= names


def test_an_equal_model_elsewhere_is_a_doubt_and_no_alarm():
    twin = subject_of(LinearModel(SHAPE), crafted_on=LinearModel(SHAPE))
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
    attack = create_attack("pgd", epsilon=0.02, num_steps=2, step_size=0.01)
    subject = subject_of(NoisyGradient(SHAPE), attack, eot_samples=4)
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
        return logits + (30 * torch.randn_like(x) * (x - x.detach())).flatten(1) @ self.weight.T


class Transformed(LinearModel):
    """A toy of a defence at test time: it moves the image against the likely attack."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(1.0 - x)


def test_an_attack_around_a_defence_at_test_time_is_called_out():
    network, defended = LinearModel(SHAPE), Transformed(SHAPE)
    x = middle_images(40, SHAPE)
    y = defended(x).argmax(1)
    attack = create_attack("pgd", epsilon=0.1, num_steps=10)
    around = Subject(defended, x, y, attack, crafted_on=network, inference="imt")
    finding = check_through_defence(around)
    assert finding is not None and finding.severity is Severity.FAIL
    assert "went around the defence" in finding.sentence
    through = check_through_defence(Subject(defended, x, y, attack, inference="imt"))
    assert through is not None and through.severity is Severity.OK
    assert check_through_defence(Subject(network, x, y, attack)) is None


@pytest.mark.parametrize(
    ("name", "severity"),
    [("pgd", Severity.FAIL), ("bpda", Severity.OK), ("square", Severity.OK)],
)
def test_a_part_that_masks_gradients_has_to_be_passed_through(name, severity):
    parameters = {"random_start": False} if name != "square" else {"num_queries": 5}
    attack = create_attack(name, epsilon=0.1, **parameters)
    finding = check_through_defence(subject_of(QuantisedPart(SHAPE), attack))
    assert finding is not None and finding.severity is severity


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


class UndeclaredNoise(Noisy):
    stochastic = False


@pytest.mark.parametrize(
    ("name", "parameters", "severity"),
    [
        ("autoattack", {}, Severity.FAIL),
        ("autoattack", {"version": "rand"}, Severity.OK),
        ("pgd", {}, Severity.FAIL),
        ("deepfool", {}, Severity.FAIL),
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
    ("name", "parameters"),
    [
        ("pgd", {}),
        ("autoattack", {}),
        ("worst_case", {"attacks": [{"name": "pgd"}, {"name": "autoattack"}]}),
        ("deepfool", {}),
    ],
)
def test_an_attack_is_made_to_average_or_it_cannot(name, parameters):
    attack = create_attack(name, epsilon=0.1, **parameters)
    more = subject_of(LinearModel(SHAPE), attack, num_images=1).averaging(30)
    assert attack.averaged_passes == 1
    assert (more is None) == (name == "deepfool")
    assert more is None or (more.averaged_passes, more.epsilon) == (30, 0.1)


def test_an_attack_that_cannot_average_leaves_a_doubt():
    attack = create_attack("deepfool", epsilon=0.1)
    finding = check_attacked_model(subject_of(Noisy(SHAPE), attack, num_images=4, eot_samples=8))
    assert finding.severity is Severity.WARN
    assert "1 of the 8 views" in finding.sentence and "cannot" in finding.sentence


def test_noise_that_the_model_does_not_declare_is_measured():
    attack = create_attack("pgd", epsilon=0.1, num_steps=2)
    subject = subject_of(UndeclaredNoise(SHAPE), attack, num_images=8, eot_samples=8)
    assert subject.random and not subject_of(LinearModel(SHAPE)).random
    assert check_attacked_model(subject).severity is not Severity.OK
    assert check_randomness(subject) is not None


def test_what_reads_the_same_is_not_told_twice():
    subject = subject_of(LinearModel(SHAPE))
    subject.__dict__["robust_accuracy"] = 0.375
    assert subject.left(0.3751) == "leaves 37.5%"
    assert subject.left(0.25) == "leaves 25.0%, not 37.5%"


@pytest.mark.parametrize("num_images", [2, 16, 25, 100])
def test_an_alarm_takes_more_than_one_image(num_images):
    above = subject_of(LinearModel(SHAPE), num_images=num_images).alarm_above(0.05)
    assert 1 / num_images <= above
    assert 2 / num_images > above or above == 0.05


def test_of_one_image_an_alarm_takes_that_one():
    assert subject_of(LinearModel(SHAPE), num_images=1).alarm_above(0.05) == 0.05


@pytest.mark.parametrize(
    ("num_broken", "severity"), [(0, Severity.OK), (1, Severity.WARN), (2, Severity.FAIL)]
)
def test_one_image_of_sixteen_is_a_doubt_and_two_are_an_alarm(num_broken, severity):
    subject = subject_of(LinearModel(SHAPE), create_attack("fgsm", epsilon=0.0), num_images=16)
    surrogate = LinearModel(SHAPE, seed=5)
    report = subject.report(subject.attack)
    standing = torch.arange(16) >= num_broken
    subject.surrogate = surrogate
    subject._reports[subject.attack, surrogate] = replace(report, robust_correct=standing)
    finding = check_transfer(subject)
    assert finding is not None and (finding.value, finding.severity) == (num_broken / 16, severity)


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
    subject = Subject(Band().eval(), x, y, create_attack(name, **parameters))
    finding = check_silent_success(subject)  # the steps go to 0.6 and on to 0.7
    assert finding is not None and (finding.severity, finding.value) == (Severity.FAIL, 1.0)


def test_an_attack_that_keeps_its_first_success_is_not_asked_for_it():
    attack = create_attack("pgd", epsilon=0.1, num_steps=2, stop_when_fallen=True)
    assert check_silent_success(subject_of(LinearModel(SHAPE), attack)) is None


@pytest.mark.parametrize("eot_samples", [1, 4])
def test_noisy_looks_on_the_way_are_no_success(eot_samples):
    attack = create_attack("pgd", epsilon=0.0, num_steps=10)
    finding = check_silent_success(subject_of(Noisy(SHAPE), attack, eot_samples=eot_samples))
    assert finding is not None and finding.value == 0.0


def test_one_step_says_nothing_of_gradients_either():
    attack = create_attack("fgsm", epsilon=0.1)
    finding = check_transfer(
        subject_of(Quantised(SHAPE), attack, surrogate=LinearModel(SHAPE), num_images=8)
    )
    assert finding is not None and finding.severity is Severity.FAIL
    assert "one step is a weak attack" in finding.sentence


def test_a_longer_search_without_gradients_says_nothing_of_gradients():
    attack = create_attack("random_search", epsilon=0.1, num_queries=1)
    finding = check_black_box(subject_of(LinearModel(SHAPE), attack))
    assert finding is not None and finding.severity is Severity.FAIL
    assert "gradient" not in (finding.sentence + finding.advice)
    assert "more queries" in finding.advice


def test_a_ball_of_form_only_is_not_shared_with_other_attacks():
    attack = create_attack("spatial", num_rotations=1, num_shifts=1)
    subject = subject_of(LinearModel(SHAPE), attack, surrogate=LinearModel(SHAPE, seed=5))
    assert check_black_box(subject) is None and check_transfer(subject) is None


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
    assert check_large_radius(subject_of(LinearModel(SHAPE), attack)) is None


def test_a_ball_that_cannot_reach_grey_is_not_asked_about():
    shape = (3, 120, 120)  # 0.5 * sqrt(n) is 104, the largest L2 radius 100
    x = middle_images(2, shape)
    model = LinearModel(shape)
    attack = create_attack("pgd", norm="L2", epsilon=1.0, num_steps=2)
    assert check_large_radius(Subject(model, x, model(x).argmax(1), attack)) is None


@pytest.mark.parametrize(
    ("loss", "severity", "word"),
    [("cross_entropy", Severity.FAIL, "cross-entropy"), ("margin", Severity.OK, "margin")],
)
def test_the_gradient_in_doubt_is_that_of_the_attack_s_own_loss(loss, severity, word):
    finding = check_gradients(subject_of(Saturated(SHAPE), create_attack("pgd", loss=loss)))
    assert finding is not None and finding.severity is severity
    assert word in finding.sentence
    assert ("Attack the margin" in finding.advice) == (loss == "cross_entropy")


def test_momentum_is_asked_for_more_steps_and_one_start_for_no_restarts():
    model = LinearModel(SHAPE)
    weak = {"epsilon": 0.1, "num_steps": 2, "step_size": 0.002}
    found = check_converged(subject_of(model, create_attack("mim", **weak)))
    assert found is not None and found.severity is Severity.FAIL
    for random_start in (True, False):
        attack = create_attack("pgd", **weak, random_start=random_start)
        found = check_converged(subject_of(model, attack))
        assert found is not None and ("restarts" in found.sentence) == random_start


class BreaksWhenBright(LinearModel):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.where(x[:, :, 0, 0] > 0.7, float("nan"), 0.0)


@pytest.mark.filterwarnings("ignore:the model's outputs for")
def test_outputs_that_the_attack_breaks_are_told():
    subject = subject_of(BreaksWhenBright(SHAPE), create_attack("fgsm", epsilon=0.2))
    finding = check_logits(subject)
    assert finding.severity is Severity.FAIL and 0 < finding.value < 1
    assert finding.sentence.startswith("Once attacked")
    moved = create_attack("fgsm", epsilon=0.2)(subject.model, subject.x, subject.y)
    assert finding.value == pytest.approx(float((moved[:, 0, 0, 0] > 0.7).float().mean()))
