"""Similarity, gradient share and targeted attacks on models whose answers are known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from robust_core.analysis.hard_classes import (
    TargetedOutcome,
    class_feature_similarity,
    class_means,
    class_weight_similarity,
    gradient_share,
    hardest_classes,
    mean_at_hardest,
    perturbation_alignment,
    perturbation_similarity,
    rank_correlation,
    targeted_outcome,
)
from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.losses import cross_entropy
from robust_core.models.base import create_model
from tests.toys import LinearModel, labels, middle_images


class Three(nn.Module):
    """Logits (0, a.x, b.x) of an image of four pixels: the margins are read off a and b."""

    num_classes = 3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.0] * 4, [1.0, 1, 0, 0], [0.0, 0, 1, 1]]))
        self.eval()

    def forward(self, x):
        return (x.flatten(1) - 0.5) @ self.weight.T


def test_weight_similarity_is_the_cosine_of_the_rows():
    model = create_model("small_cnn", (1, 8, 8), 3, {"width": 4})
    head = model.classifier
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[0, 0], head.weight[1, 0], head.weight[2, 1] = 2.0, 3.0, 1.0
        head.weight[1, 1] = 3.0
    half = math.sqrt(0.5)
    expected = torch.tensor([[1.0, half, 0.0], [half, 1.0, half], [0.0, half, 1.0]])
    torch.testing.assert_close(class_weight_similarity(model), expected)


def test_feature_similarity_is_the_cosine_of_the_class_means():
    model = create_model("small_cnn", (1, 8, 8), 4, {"width": 4}).eval()
    x, y = middle_images(9, (1, 8, 8)), labels(9)
    found = class_feature_similarity(model, x, y, batch_size=4)
    features = model.features(x).detach()
    one, two = features[y == 0].mean(0), features[y == 2].mean(0)
    assert found[0, 2].item() == pytest.approx(float(one @ two / one.norm() / two.norm()), abs=1e-5)
    assert found[3].isnan().all()  # no image of class 3


def test_rank_correlation_is_spearmans_over_the_off_diagonal():
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.rand(5, 5, generator=generator).round(decimals=1) for _ in range(2))
    off = ~torch.eye(5, dtype=torch.bool)
    expected, _ = np.asarray(spearmanr(one[off].numpy(), two[off].numpy()))
    assert rank_correlation(one, two) == pytest.approx(expected)
    assert rank_correlation(one, one.exp()) == pytest.approx(1.0)
    assert rank_correlation(one, -one) == pytest.approx(-1.0)
    assert math.isnan(rank_correlation(one, torch.zeros(5, 5)))
    two[0] = math.nan
    assert math.isfinite(rank_correlation(one, two))


def test_gradient_share_is_the_weight_in_the_gradient_of_cross_entropy():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]], requires_grad=True)
    y = torch.tensor([0])
    (gradient,) = torch.autograd.grad(cross_entropy(logits, y).sum(), logits)
    share = gradient_share(logits.detach(), y)
    torch.testing.assert_close(share[0, 1:], gradient[0, 1:] / -gradient[0, 0])
    assert share[0, 0] == 0.0
    assert share[1].isnan().all()
    assert gradient_share(torch.tensor([[200.0, 1.0, 0.0]]), y)[0].sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 0.138), (8.0, 0.48), (20.0, 0.95)])
def test_a_hard_class_weighs_little_without_a_scale(scale, expected):
    logits = torch.tensor([[0.4, 0.25] + [0.0] * 8])
    share = gradient_share(scale * logits, torch.tensor([0]))
    assert share[0, 1].item() == pytest.approx(expected, abs=0.005)


def test_alignment_is_one_for_the_class_that_the_perturbation_follows():
    model, x = Three(), torch.full((2, 1, 2, 2), 0.5)
    y = torch.tensor([0, 1])
    x_adv = x.clone()
    x_adv[0].view(-1)[:2] += 0.1  # along a: towards class 1
    found = perturbation_alignment(model, x, y, x_adv, batch_size=1)
    assert found[0, 1].item() == pytest.approx(1.0)
    assert found[0, 2].item() == pytest.approx(0.0, abs=1e-6)
    assert found[1, 0] == found[1, 2] == 0.0  # this image was not moved
    assert found.diag().isnan().all() and found[2].isnan().all()


def test_perturbations_of_the_two_classes_of_a_linear_model_are_opposite():
    model, x = LinearModel(num_classes=2), middle_images(12)
    y = torch.arange(12) % 2
    x_adv = create_attack("fgsm", epsilon=0.1)(model, x, y)
    found = perturbation_similarity(x, x_adv, y)
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


def test_perturbation_similarity_is_the_mean_over_pairs_of_different_images():
    generator = torch.Generator().manual_seed(3)
    x, x_adv = torch.rand(2, 7, 1, 3, 3, generator=generator)
    x_adv[2] = x[2]  # not moved
    y = torch.tensor([0, 0, 0, 1, 1, 3, 1])
    found = perturbation_similarity(x, x_adv, y, 5)
    assert found.shape == (5, 5) and found[4].isnan().all()
    delta = (x_adv - x).flatten(1)
    cosines = torch.cosine_similarity(delta[:, None], delta[None], dim=2)
    for i in (0, 1, 3):
        for j in (0, 1, 3):
            apart = (y == i)[:, None] & (y == j) & ~torch.eye(7, dtype=torch.bool)
            expected = cosines[apart].mean()
            torch.testing.assert_close(found[i, j], expected, equal_nan=True)
    assert found[2].isnan().all() and found[3, 3].isnan()


def test_the_hardest_class_and_what_goes_to_it():
    shares = torch.tensor([[0.2, 0.7, 0.1], [0.0, 1.0, 0.0], [math.nan] * 3])
    assert hardest_classes(shares).tolist() == [1, -1, -1]
    values = torch.tensor([[9.0, 0.8, 0.2], [0.5, 9.0, 0.5], [0.3, 0.7, 9.0]])
    assert mean_at_hardest(values, shares) == pytest.approx((0.8, 0.2))
    hard, easy = mean_at_hardest(values, torch.eye(3))
    assert math.isnan(hard) and math.isnan(easy)


def test_targets_within_the_radius_are_reached_and_no_others():
    # from (0, a.x, b.x) = (0, -0.2, -0.8) class 1 needs 0.1 a pixel, class 2 0.4
    model = Three()
    x = torch.tensor([0.4, 0.4, 0.1, 0.1]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    y = torch.zeros(2, dtype=torch.int64)
    attack = create_attack("pgd", epsilon=0.2, num_steps=10, loss="margin")
    done = []
    outcome = targeted_outcome(
        model, x, y, attack, batch_size=1, on_progress=lambda *n: done.append(n)
    )
    assert outcome.success.tolist() == [[False, True, False]] * 2
    assert outcome.matrix(y)[0].tolist() == [0.0, 1.0, 0.0]
    assert outcome.lead[0, 1].item() == pytest.approx(0.2, abs=1e-5)
    assert outcome.lead[0, 2].item() == pytest.approx(-0.4, abs=1e-5)
    assert outcome.lead[0, 0] == -math.inf
    assert done[-1] == (3, 3)
    untargeted = model(attack(model, x, y)).argmax(1)
    assert outcome.agreement(y, untargeted)[0] == 1.0


def test_agreement_counts_fallen_images_only():
    y = torch.tensor([0, 0, 0, 1])
    lead = torch.tensor([[-math.inf, 1.0, 0.5]] * 3 + [[-1.0, -math.inf, -2.0]])
    outcome = TargetedOutcome(lead > 0, lead)
    prediction = torch.tensor([1, 2, 0, 1])
    found = outcome.agreement(y, prediction)
    assert found[0].item() == pytest.approx(0.5)
    assert found[1:].isnan().all()


def test_class_means_leave_empty_classes_undefined():
    found = class_means(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 1]), 3)
    assert found[1].tolist() == [2.0, 3.0]
    assert found[[0, 2]].isnan().all()


def test_wrong_input_is_told_in_one_sentence():
    model, x, y = LinearModel(), middle_images(4), labels(4)
    with pytest.raises(InputError, match="weights for every class, got LinearModel"):
        class_weight_similarity(model)
    with pytest.raises(
        InputError, match="a network with features, and this one has none: a LinearModel"
    ):
        class_feature_similarity(model, x, y)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="needs an attack with a budget and at least one image"):
        targeted_outcome(model, x, y, create_attack("deepfool"))
