import pytest
import torch
from scipy.stats import binomtest

from robust_core.errors import InputError
from robust_core.evaluation.chance import (
    chance_level,
    chance_sentence,
    class_coverage,
    is_at_chance,
)
from robust_core.evaluation.finding import Severity


def test_chance_is_the_share_of_the_most_frequent_class():
    assert chance_level(torch.arange(30) % 3) == pytest.approx(1 / 3)
    assert chance_level(torch.tensor([4, 4, 4, 1])) == 0.75
    with pytest.raises(InputError, match="at least one label"):
        chance_level(torch.tensor([], dtype=torch.int64))


@pytest.mark.parametrize("correct", range(0, 101, 5))
@pytest.mark.parametrize("chance", [0.1, 1 / 3, 0.9])
def test_at_chance_is_what_an_independent_interval_says(correct, chance):
    low = binomtest(correct, 100).proportion_ci(0.95, "wilson").low
    assert is_at_chance(correct, 100, chance) == (low <= chance)


def test_the_sentence_names_both_numbers_and_is_empty_above_chance():
    assert chance_sentence(60, 100, 1 / 3) == ""
    sentence = chance_sentence(34, 100, 1 / 3)
    assert "34 of 100 images correctly (95\u00a0% interval 25\u00a0to\u00a044\u00a0%)" in sentence
    assert "the most frequent class would be correct on 33\u00a0%" in sentence
    assert "is at chance level" in chance_sentence(2, 2, 0.5), "two are too few to tell"
    assert "is at chance level" in chance_sentence(0, 1000, 0.1), "worse than chance"


def test_a_constant_classifier_on_its_own_class_is_no_finding_and_on_all_is_one():
    y = torch.arange(60) % 3
    found = class_coverage(torch.zeros_like(y), y)
    assert found.severity is Severity.FAIL and found.value == pytest.approx(2 / 3)
    assert "predicts 1 of the 3 classes" in found.sentence and found.advice
    assert class_coverage(torch.zeros(60), torch.zeros(60)).severity is Severity.OK


@pytest.mark.parametrize(
    ("number", "predicted", "severity"),
    [(40, 10, Severity.OK), (40, 6, Severity.OK), (40, 5, Severity.WARN), (40, 1, Severity.FAIL)],
)
def test_few_of_ten_classes(number, predicted, severity):
    y = torch.arange(number) % 10
    assert class_coverage(y % predicted, y).severity is severity


def test_a_handful_of_images_says_nothing_about_classes():
    y = torch.tensor([0, 1, 2, 0])
    assert class_coverage(torch.zeros_like(y), y).severity is Severity.OK
    with pytest.raises(InputError, match=r"the same shape .* got \[3\] and \[4\]"):
        class_coverage(y[:3], y)
