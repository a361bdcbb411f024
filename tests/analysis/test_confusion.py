"""Confusion, hard-class pairs and their paths, against counts made by hand."""

import math

import pytest
import torch

from robust_core.analysis.confusion import (
    confusion,
    confusion_of,
    confusion_over_epsilons,
    confusion_over_steps,
    count_pairs,
    hard_pairs,
    row_entropy,
    row_shares,
)
from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from tests.toys import LinearModel, labels, middle_images

# class 0: four images, three correct, of which two fall to 1; class 1: two images; class 2: none
Y = torch.tensor([0, 0, 0, 0, 1, 1])
CLEAN = torch.tensor([0, 0, 0, 2, 1, 1])
ATTACKED = torch.tensor([0, 1, 1, 2, 0, 1])


def test_shares_have_the_denominator_that_is_asked_for():
    found = confusion(Y, CLEAN, ATTACKED, 3)
    assert found.clean.tolist() == [[3, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert found.attacked_shares()[0].tolist() == [0.25, 0.5, 0.25]
    torch.testing.assert_close(
        found.attacked_shares("clean_correct")[0], torch.tensor([1 / 3, 2 / 3, 0.0])
    )
    assert found.clean_shares()[0].tolist() == [0.75, 0.0, 0.25]
    assert found.clean_shares("clean_correct")[:2].tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert found.attacked_shares()[2].isnan().all()  # no image of class 2
    assert found.clean_shares("clean_correct")[2].isnan().all()


def test_rows_of_shares_add_up_to_one_and_differences_to_zero():
    found = confusion(Y, CLEAN, ATTACKED, 3)
    for among in ("all", "clean_correct"):
        torch.testing.assert_close(found.attacked_shares(among)[:2].sum(dim=1), torch.ones(2))
        torch.testing.assert_close(found.difference(among)[:2].sum(dim=1), torch.zeros(2))
    assert found.difference()[0].tolist() == [-0.5, 0.5, 0.0]


def test_class_accuracy_names_the_worst_class():
    found = confusion(Y, CLEAN, ATTACKED, 3)
    clean, robust = found.clean_accuracy(), found.robust_accuracy()
    assert clean.accuracy[:2].tolist() == [0.75, 1.0]
    assert robust.accuracy[:2].tolist() == [0.25, 0.5]
    assert clean.accuracy[2].isnan()
    assert (clean.worst, robust.worst) == (0, 0)
    assert clean.num_images.tolist() == [4, 2, 0]


def test_an_image_that_an_attack_mends_is_not_robust():
    found = confusion(torch.tensor([0]), torch.tensor([1]), torch.tensor([0]), 2)
    assert found.attacked_shares()[0].tolist() == [1.0, 0.0]
    assert found.robust_accuracy().accuracy[0] == 0.0


def test_confusion_of_a_report_agrees_with_its_accuracies():
    model, x, y = LinearModel(), middle_images(40), labels(40)
    report = evaluate(model, x, y, create_attack("pgd", epsilon=0.05, num_steps=5))
    found = confusion_of(report, y, 3)
    weights = found.clean.sum(dim=1) / len(y)
    assert float(found.clean.diag().sum()) / 40 == pytest.approx(report.clean_accuracy)
    assert float((found.robust_accuracy().accuracy * weights).sum()) == pytest.approx(
        report.robust_accuracy
    )
    assert 0 < report.robust_accuracy < report.clean_accuracy


def test_a_perturbation_beyond_the_radius_counts_as_none():
    model, x, y = LinearModel(), middle_images(40), labels(40)
    report = evaluate(model, x, y, create_attack("deepfool", norm="L2", epsilon=0.0))
    found = confusion_of(report, y, 3)
    assert torch.equal(found.attacked, found.clean)


def test_pairs_are_ranked_by_strength_and_know_their_direction():
    shares = torch.tensor(
        [[0.5, 0.1, 0.4, 0.0], [0.3, 0.7, 0.0, 0.0], [0.4, 0.0, 0.6, 0.0], [math.nan] * 4]
    )
    first, second = hard_pairs(shares)  # a pair without confusion is left out
    assert (first.first, first.second) == (0, 2)
    assert first.strength == pytest.approx(0.4)
    assert first.mutuality == 1.0
    assert (second.first, second.second) == (1, 0)
    assert second.strength == pytest.approx(0.2)
    assert second.mutuality == pytest.approx(1 / 3)
    assert hard_pairs(shares, 1) == [first]


def test_entropy_is_zero_for_one_target_and_one_for_all_alike():
    shares = torch.tensor(
        [
            [0.5, 0.5, 0.0, 0.0],
            [0.2, 0.4, 0.2, 0.2],
            [0.0, 0.0, 1.0, 0.0],
            [0.25, 0.25, 0.0, 0.5],
        ]
    )
    entropy = row_entropy(shares)
    assert entropy[0] == 0.0
    assert entropy[1].item() == pytest.approx(1.0)
    assert entropy[2].isnan()  # no error to be spread
    assert entropy[3].item() == pytest.approx(math.log(2) / math.log(3))
    assert row_entropy(torch.tensor([[0.5, 0.5], [0.1, 0.9]])).tolist() == [0.0, 0.0]


def test_a_path_over_steps_goes_from_the_clean_prediction_to_the_attacked_one():
    model, x, y = LinearModel(), middle_images(30), labels(30)
    attack = create_attack("pgd", epsilon=0.05, num_steps=4, random_start=False)
    path = confusion_over_steps(model, x, y, attack, batch_size=16)
    assert path.values == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert torch.equal(path.counts[0], count_pairs(y, model(x).argmax(1), 3))
    last = model(attack(model, x, y)).argmax(1)
    assert torch.equal(path.counts[-1], count_pairs(y, last, 3))
    torch.testing.assert_close(path.shares(1).sum(dim=1), torch.ones(5))
    assert path.shares(1)[-1, 1] < path.shares(1)[0, 1]


def test_a_path_over_radii_meets_the_flip_of_a_linear_model():
    # two classes: an image falls where epsilon * ||w||_1 exceeds its margin
    model, x = LinearModel(num_classes=2), middle_images(30)
    w = (model.weight[1] - model.weight[0]).detach()
    y = model(x).argmax(1)
    gap = (model(x)[:, 1] - model(x)[:, 0]).abs().detach() / w.abs().sum()
    epsilons = [0.0, float(gap.median()) * 1.001, 0.3]
    attack = create_attack("fgsm", epsilon=0.1)
    path = confusion_over_epsilons(model, x, y, attack, epsilons, batch_size=16)
    for epsilon, counts in zip(epsilons, path.counts, strict=True):
        assert int(counts.diag().sum()) == int((gap > epsilon).sum())


def test_a_given_step_size_grows_with_the_radius():
    model, x, y = LinearModel(), middle_images(30), labels(30)
    attack = create_attack("pgd", epsilon=0.1, step_size=0.04, num_steps=2, random_start=False)
    half = create_attack("pgd", epsilon=0.05, step_size=0.02, num_steps=2, random_start=False)
    path = confusion_over_epsilons(model, x, y, attack, [0.05])
    assert torch.equal(path.counts[0], count_pairs(y, model(half(model, x, y)).argmax(1), 3))


def test_shares_of_counts_leave_empty_rows_undefined():
    shares = row_shares(torch.tensor([[1, 3], [0, 0]]))
    assert shares[0].tolist() == [0.25, 0.75]
    assert shares[1].isnan().all()


def test_wrong_input_is_told_in_one_sentence():
    model, x, y = LinearModel(), middle_images(4), labels(4)
    with pytest.raises(InputError, match=r"labels and predictions should both be \[N\]"):
        count_pairs(y, y[:2], 3)
    with pytest.raises(InputError, match=r"predictions should be in \[0, 2\], got 0 to 3"):
        count_pairs(torch.zeros(2, dtype=torch.int64), torch.tensor([0, 3]), 3)
    with pytest.raises(InputError, match="report all images at every step, from one start"):
        confusion_over_steps(model, x, y, create_attack("pgd", num_restarts=2, num_steps=2))
    with pytest.raises(InputError, match="at least one image, got none"):
        confusion_over_steps(model, x[:0], y[:0], create_attack("pgd"))
    with pytest.raises(
        InputError, match="needs an attack with a fixed epsilon and at least one value"
    ):
        confusion_over_epsilons(model, x, y, create_attack("deepfool"), [0.1])
    with pytest.raises(
        InputError, match="needs an attack with a fixed epsilon and at least one value"
    ):
        confusion_over_epsilons(model, x, y, create_attack("pgd"), [])


def test_the_largest_error_share_is_that_of_the_commonest_wrong_classes():
    found = confusion(Y, CLEAN, ATTACKED, 3)
    assert found.largest_error_share() == (3 / 4, 4)  # 2 of 3 errors of class 0, 1 of 1 of class 1
    assert confusion(Y, Y, Y, 3).largest_error_share() == (0.0, 0)


def test_a_path_over_radii_tells_how_far_it_is():
    model, x, y = LinearModel(), middle_images(5), labels(5)
    told = []
    confusion_over_epsilons(
        model,
        x,
        y,
        create_attack("fgsm", epsilon=0.1),
        [0.1, 0.2],
        batch_size=3,
        on_progress=lambda *done: told.append(done),
    )
    assert told == [(3, 10), (5, 10), (8, 10), (10, 10)]
