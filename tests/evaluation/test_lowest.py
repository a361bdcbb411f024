"""The headline is the worst that anything has found, and says what its own checks say."""

import numpy as np
import pytest
import torch

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.evaluation.finding import Finding, Severity, outcome_of_checks
from robust_core.evaluation.lowest import Measured, headline, lowest_known, verdict, wilson_interval
from tests.evaluation.diseased import SHAPE, QuantisedPart
from tests.toys import LinearModel, middle_images


def mask(correct: list[int], size: int) -> torch.Tensor:
    found = torch.zeros(size, dtype=torch.bool)
    found[correct] = True
    return found


def finding(name: str, severity: Severity, accuracy: float | None = None, cause: str = ""):
    return Finding(name, severity, 0.1, 0.0, "", accuracy=accuracy, cause=cause)


def test_the_worst_case_is_image_by_image():
    one = Measured("one", mask(list(range(20)), 40))
    other = Measured("other", mask(list(range(10, 35)), 40))
    lowest = lowest_known([one, other])
    assert lowest.accuracy == 10 / 40 and lowest.by == "one" and lowest.num_images == 40
    assert (lowest.checks, lowest.confirmed) == ("not checked", False)


def test_numbers_on_fewer_images_count_on_these():
    many = Measured("many", mask(list(range(60)), 100))
    few = Measured("few", mask(list(range(5)), 50))
    lowest = lowest_known([many, few])
    assert (lowest.num_images, lowest.accuracy, lowest.by) == (50, 0.1, "few")
    tiny = Measured("tiny", mask([], 10))  # too few images to be a number of its own
    lowest = lowest_known([many, tiny])
    assert (lowest.num_images, lowest.accuracy) == (100, 0.5)


def test_what_a_check_found_lowers_the_number():
    checks = (
        finding("converged", Severity.OK, 0.9),
        finding("through_defence", Severity.FAIL, 0.3, "once the attack goes through the defence"),
    )
    one = Measured("pgd", mask(list(range(95)), 100), checks, mask(list(range(12)), 40))
    lowest = lowest_known([one])
    assert (lowest.accuracy, lowest.num_images) == (0.3, 40)
    assert lowest.finding is checks[1] and not lowest.confirmed
    assert "at most 30\u00a0% once the attack goes through the defence" in headline(0.95, lowest)


def test_the_verdict_follows_the_checks_of_the_number_and_the_lowest_one():
    passed = (finding("converged", Severity.OK),)
    failed = (finding("black_box", Severity.FAIL), finding("gradients", Severity.FAIL))

    def lowest(correct: int, findings=()):
        return lowest_known([Measured("apgd", mask(list(range(correct)), 100), findings)])

    assert verdict(0.8, lowest(78), passed) == "Holds so far"
    assert verdict(0.8, lowest(78)) == "Not checked"
    assert verdict(0.8, lowest(78, passed)) == "Holds so far"
    assert verdict(0.8, lowest(78), failed) == "Not real"
    assert verdict(0.8, lowest(50), passed) == "Not real"
    assert verdict(0.97, lowest(90), passed) == "Overstated"
    assert verdict(0.02, lowest(1), failed) == "Not robust"
    words = headline(0.8, lowest(40), failed, running=True)
    assert words == (
        "Not real so far: 80\u00a0% as reported, at most 40\u00a0% under apgd, because an attack "
        "without gradients fools the model and the gradients are zero or not finite (checks of the "
        "lowest number: not checked)"
    )
    assert headline(0.8, lowest(78), passed, running=True).startswith("Holds so far: 80\u00a0%")


def test_a_checked_number_that_nothing_lowers_is_settled():
    checks = (finding("converged", Severity.OK, 0.5), finding("transfer", Severity.WARN))
    one = Measured("pgd", mask(list(range(50)), 100), checks, mask(list(range(32)), 64))
    assert lowest_known([one]).confirmed
    failed = (*checks, finding("gradients", Severity.FAIL))
    assert not lowest_known([Measured("pgd", one.correct, failed, one.checked_correct)]).confirmed


def test_a_verdict_lists_each_finding_under_its_own_severity():
    found = [
        finding("black_box", Severity.FAIL),
        finding("converged", Severity.WARN),
        finding("logits", Severity.OK),
    ]
    assert outcome_of_checks(found) == "fail: black box; warning: converged"
    assert outcome_of_checks(found[1:]) == "warning: converged"
    assert outcome_of_checks(found[2:]) == "pass"
    assert outcome_of_checks([]) == "not checked"


@pytest.mark.slow
def test_a_masked_model_is_told_from_python():
    model = QuantisedPart(SHAPE)
    x = middle_images(60, SHAPE)
    y = LinearModel(SHAPE)(x).argmax(1)
    attack = create_attack("pgd", epsilon=0.1, num_steps=10, random_start=False)
    plain = evaluate(model, x, y, attack)
    assert (plain.findings, plain.checks) == ((), "not checked")
    assert "not checked" in str(plain)
    report = evaluate(model, x, y, attack, check=True, check_num_images=40)
    assert report.robust_accuracy == plain.robust_accuracy > 0.9
    assert report.checks.startswith("fail: ") and "through defence" in report.checks
    lowest = report.lowest
    assert lowest.num_images == 40 and lowest.accuracy < 0.5 and not lowest.confirmed
    assert "lowest  at most" in str(report)
    with pytest.raises(InputError, match="expected an attack, got none"):
        evaluate(model, x, y, check=True)


@pytest.mark.slow
def test_images_sorted_by_class_are_checked_on_all_classes():
    model = LinearModel(SHAPE)
    x = middle_images(120, SHAPE)
    y = model(x).argmax(1)
    order = torch.from_numpy(np.argsort(y.numpy(), kind="stable"))
    attack = create_attack("fgsm", epsilon=0.05)
    report = evaluate(model, x[order], y[order], attack, check=True, check_num_images=30)
    assert report.checked_index is not None
    assert len(y[order][report.checked_index].unique()) == len(y.unique())


@pytest.mark.slow
def test_images_of_one_class_are_no_sample():
    class Constant(LinearModel):
        def forward(self, x):
            return torch.tensor([9.0, 0.0, 0.0]).expand(len(x), 3) + 0 * super().forward(x)

    x, y = middle_images(40, SHAPE), torch.zeros(40, dtype=torch.int64)
    attack = create_attack("pgd", epsilon=0.1, num_steps=2)
    report = evaluate(Constant(SHAPE), x, y, attack, check=True)
    assert report.robust_accuracy == 1.0
    assert {one.name: one.severity for one in report.findings}["classes"] is Severity.FAIL


def test_wilson_interval_at_the_ends():
    assert wilson_interval(0, 10)[0] == 0.0 and wilson_interval(10, 10)[1] == 1.0
