"""Each check raises its alarm on a model made to deserve it, and none on a sound one."""

import pytest
import torch

from robust_core.attacks.base import attack_from, create_attack
from robust_core.attacks.notes import noted
from robust_core.evaluation.check import CHECKS, PlannedCase
from robust_core.evaluation.finding import Severity, graded, overall
from robust_core.evaluation.reliability import check_reliability
from robust_core.evaluation.variants import averaging
from tests.evaluation.diseased import (
    SHAPE,
    Noisy,
    NotFinite,
    Once,
    Probabilities,
    Quantised,
    QuantisedPart,
    Saturated,
    severities,
    subject_of,
)
from tests.toys import LinearModel


def test_a_sound_model_raises_no_alarm():
    found = check_reliability(subject_of(LinearModel(SHAPE)))
    chance = next(finding for finding in found if finding.name == "chance")
    assert chance.severity is Severity.WARN  # 38 of the 40 images are of one class
    found.remove(chance)
    assert overall(found) is Severity.OK, [f for f in found if f.severity is not Severity.OK]
    names = {finding.name for finding in found}
    assert {"logits", "gradients", "one_step", "converged", "large_epsilon", "black_box"} <= names


@pytest.mark.parametrize(
    ("model", "alarms"),
    [
        (Quantised(SHAPE), {"gradients", "large_epsilon", "black_box"}),
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
    assert "zero for 100\u00a0% of the images" in found["gradients"]
    assert "% of the images" in found["black_box"]


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


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pgd", {}),
        ("autoattack", {}),
        ("worst_case", {"attacks": [{"name": "pgd"}, {"name": "autoattack"}]}),
        ("square", {}),
    ],
)
def test_an_attack_is_made_to_average(name, parameters):
    attack = create_attack(name, epsilon=0.1, **parameters)
    more = averaging(attack, 30)
    assert attack.averaged_passes == 1
    assert more is not None and (more.averaged_passes, more.epsilon) == (30, 0.1)


def test_an_attack_without_that_choice_cannot_average():
    assert averaging(Once(epsilon=0.1), 2) is None


@pytest.mark.parametrize(
    ("name", "parameters", "more"),
    [
        ("square", {"num_queries": 200}, {"num_queries": 400}),
        ("random_search", {"num_queries": 5}, {"num_queries": 10}),
        ("spsa", {"num_steps": 5}, {"num_steps": 10}),
        ("pgd", {"num_steps": 5}, {"num_steps": 10, "num_restarts": 2}),
        ("square", {"num_queries": 1_000_000}, None),
        ("fgsm", {}, None),
    ],
)
def test_a_longer_attack_takes_more_of_what_it_takes(name, parameters, more):
    attack = create_attack(name, epsilon=0.1, **parameters)
    longer = subject_of(LinearModel(SHAPE), attack, num_images=1).longer()
    expected = None if more is None else {**attack.model_dump(), **more}
    assert (None if longer is None else longer.model_dump()) == expected


@pytest.mark.parametrize(("num_images", "words"), [(1, "The image"), (40, "Every image")])
def test_where_every_image_is_wrong_from_the_start_nothing_is_checked(num_images, words):
    subject = subject_of(LinearModel(SHAPE), num_images=num_images)
    subject.y = (subject.y + 1) % 3
    (finding,) = check_reliability(subject)
    assert (finding.name, finding.severity) == ("attacked_images", Severity.WARN)
    assert finding.value > finding.threshold
    assert f"{words} is misclassified without an attack" in finding.sentence
    assert "nothing was attacked, so nothing can be checked" in finding.sentence


def test_one_image_that_is_right_is_enough_to_check():
    subject = subject_of(LinearModel(SHAPE))
    subject.y[1:] = (subject.y[1:] + 1) % 3
    assert "black_box" in {finding.name for finding in check_reliability(subject)}


def test_what_reads_the_same_is_not_told_twice():
    subject = subject_of(LinearModel(SHAPE))
    subject.__dict__["robust_accuracy"] = 0.375
    assert subject.compared(0.3751) == "leaves a robust accuracy of 37.5\u00a0%"
    assert subject.compared(0.25) == "leaves a robust accuracy of 25.0\u00a0%, not 37.5\u00a0%"


@pytest.mark.parametrize("num_images", [2, 16, 25, 100])
def test_an_alarm_takes_more_than_one_image(num_images):
    above = subject_of(LinearModel(SHAPE), num_images=num_images).alarm_above(0.05)
    assert 1 / num_images <= above
    assert 2 / num_images > above or above == 0.05


def test_of_one_image_an_alarm_takes_that_one():
    assert subject_of(LinearModel(SHAPE), num_images=1).alarm_above(0.05) == 0.05


def test_checks_stop_at_the_first_alarm_by_cost_and_say_what_was_not_run():
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    told: list[str] = []
    with noted() as notes:
        found = check_reliability(
            subject_of(Quantised(SHAPE), attack), stop_at_alarm=True, on_check=told.append
        )
    assert [one.severity for one in found][-1] is Severity.FAIL
    assert overall(found[:-1]) is not Severity.FAIL
    assert found[-1].name == "gradients"
    assert told[-1] == "Gradients" and "Gradient-free attacks" not in told
    (sentence,) = notes
    assert "first that failed" in sentence and sentence.count("a longer attack") == 1


def test_checks_of_a_sound_model_run_in_the_order_of_their_cost():
    case = subject_of(LinearModel(SHAPE))
    with noted() as notes:
        found = [one.name for one in check_reliability(case, stop_at_alarm=True)]
    planned = PlannedCase(case.attack, case.effort)
    costs = [CHECKS.get(name).cost(planned).weight for name in found]
    assert costs[:-1] == sorted(costs[:-1]) and found[-1] == "finite_outputs"
    assert set(found) == set(severities(subject_of(LinearModel(SHAPE)))) and not notes


def test_a_time_limit_gives_up_the_check_at_work(monkeypatch):
    now = iter(range(10**6))
    monkeypatch.setattr("robust_core.evaluation.reliability.time.monotonic", lambda: next(now))
    with noted() as notes:
        found = check_reliability(subject_of(LinearModel(SHAPE)), seconds=25.0)
    assert 3 < len(found) < 14
    (sentence,) = notes
    assert sentence.startswith("the checks reached their time limit of 25 s; not run: ")
    assert sentence.endswith("outputs under attack")


@pytest.mark.parametrize("model", [Quantised(SHAPE), QuantisedPart(SHAPE), Saturated(SHAPE)])
@pytest.mark.slow
def test_what_an_advice_names_can_be_run_and_finds_more(model):
    attack = create_attack("pgd", epsilon=0.1, num_steps=5, random_start=False)
    case = subject_of(model, attack, transfer_model=LinearModel(SHAPE))
    found = check_reliability(case)
    raised = [one for one in found if one.severity is Severity.FAIL]
    assert raised
    for one in raised:
        named = one.next_attack
        assert named is not None, one.name
        following = attack_from(named.name, named.parameters)
        assert following.threat_model == attack.threat_model
        assert named.transfer == (one.name == "transfer")
    assert all(one.next_attack is None for one in found if one.severity is Severity.OK)
    gradients = next(one for one in found if one.name in ("gradients", "margin_loss"))
    named = gradients.next_attack
    if named is not None:
        left = case.report(attack_from(named.name, named.parameters)).robust_accuracy
        assert left < case.robust_accuracy
