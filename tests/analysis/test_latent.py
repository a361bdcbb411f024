"""The latent space: projections, distances and paths, each against a closed form."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from robust_core.analysis.latent import (
    accuracy_along,
    divergence_bound,
    latent_outputs,
    natural_scores,
    project,
    score_histogram,
)
from robust_core.errors import InputError
from robust_core.models.base import create_model
from robust_core.models.discriminator import Discriminator, detection_auroc
from tests.toys import LinearModel, middle_images


def cloud(n: int = 40, dimensions: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed))


def test_features_are_the_networks_own_and_its_mode_is_kept():
    model = create_model("preact_resnet18", (1, 8, 8), 3, {"width": 4}).train()
    x = middle_images(5, (1, 8, 8))
    features, logits = latent_outputs(model, x, batch_size=2)
    assert model.training
    torch.testing.assert_close(features, model.eval().features(x).detach())
    torch.testing.assert_close(logits, model(x).detach())
    with pytest.raises(
        InputError, match="a network with features, and this one has none: a LinearModel"
    ):
        latent_outputs(LinearModel(), x)


@pytest.mark.parametrize("num_dimensions", [2, 3])
def test_pca_axes_come_from_clean_features_alone(num_dimensions):
    clean = cloud() * torch.tensor([9.0, 5.0, 3.0, 1.0, 0.1, 0.1])
    shown = project(clean, clean + 7.0, "pca", num_dimensions=num_dimensions)
    assert shown.clean.shape == shown.adversarial.shape == (40, num_dimensions)
    assert shown.explained is not None and (np.diff(shown.explained) <= 0).all()
    way = shown.adversarial - shown.clean
    assert np.allclose(way, way[0])  # a linear map: a common shift stays one
    other = project(clean, 100 * cloud(seed=3), "pca", num_dimensions=num_dimensions)
    assert np.array_equal(shown.clean, other.clean)
    covariance = np.cov(clean.double().numpy().T)
    largest = np.linalg.eigvalsh(covariance)[::-1][:num_dimensions]
    assert np.allclose(shown.clean.var(axis=0, ddof=1), largest)


def test_pca_of_features_on_a_line_fills_up_with_zeros():
    shown = project(cloud(20, 1), cloud(20, 1), num_dimensions=3)
    assert shown.clean.shape == (20, 3)
    assert not shown.clean[:, 1:].any()


@pytest.mark.slow
def test_tsne_lays_out_clean_and_adversarial_points_together():
    clean = torch.cat([cloud(30), cloud(30) + 50.0])
    adversarial = torch.cat([clean[:5], clean[30:35] + 1e-3])
    shown = project(clean, adversarial, "tsne", seed=1)
    again = project(clean, adversarial, "tsne", seed=1)
    assert np.array_equal(shown.clean, again.clean)
    assert shown.adversarial.shape == (10, 2)
    centres = [shown.clean[:30].mean(axis=0), shown.clean[30:].mean(axis=0)]
    for moved, order in ((shown.adversarial[:5], 1), (shown.adversarial[5:], -1)):
        near, far = (np.linalg.norm(moved - centre, axis=1) for centre in centres[::order])
        assert (near < far).all()


def test_wrong_projections_get_one_sentence():
    with pytest.raises(InputError, match="one of pca, tsne, got 'lda'"):
        project(cloud(), cloud(), "lda")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="2 or 3 dimensions, got 4"):
        project(cloud(), cloud(), num_dimensions=4)
    with pytest.raises(InputError, match="at least 10 clean images, got 4"):
        project(cloud(4), cloud(4))
    with pytest.raises(InputError, match=r"the same D, got \[30, 4\] and \[30, 3\]"):
        project(cloud(30, 4), cloud(30, 3))


def test_few_and_equal_features():
    for num_dimensions in (2, 3):
        shown = project(cloud(10, 1), cloud(10, 1), "tsne", num_dimensions=num_dimensions)
        assert shown.clean.shape == (10, num_dimensions) and np.isfinite(shown.clean).all()
    same = torch.ones(10, 4)
    explained = project(same, same).explained
    assert explained is not None and explained.tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="the same for all 10 clean images"):
        project(same, same, "tsne")


def test_scores_of_a_discriminator():
    model = create_model("small_cnn", (1, 8, 8), 3, {"width": 4}).eval()
    discriminator = Discriminator(3, num_blocks=1, widen_factor=1).train()
    x = middle_images(6, (1, 8, 8))
    scores = natural_scores(discriminator, model(x))
    assert discriminator.training
    expected = discriminator.eval()(model(x)).manifold.sigmoid()
    torch.testing.assert_close(scores, expected.detach())
    shares, edges = score_histogram(torch.tensor([0.0, 0.3, 0.3, 1.0]), 4)
    assert shares.tolist() == [0.25, 0.5, 0.0, 0.25]
    assert edges.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_auroc_counts_pairs():
    clean, attacked = torch.tensor([0.9, 0.5, 0.4]), torch.tensor([0.5, 0.1])
    assert detection_auroc(clean, attacked) == pytest.approx((2 + 1.5 + 1) / 6)
    assert detection_auroc(clean, clean) == pytest.approx(0.5)


def test_the_best_discriminator_of_two_coins_reaches_their_divergence():
    """Law p shows heads with 3/4, q with 1/4; D0 = p / (p + q) is 3/4 on heads, 1/4 on tails."""
    heads, tails = 0.75, 0.25
    clean = torch.tensor([heads, heads, heads, tails])
    changed = torch.tensor([heads, tails, tails, tails])
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert divergence_bound(clean, changed).value == pytest.approx(divergence, abs=1e-6)
    for slope in (0.5, 2.0):  # any other discriminator proves less
        worse = [torch.sigmoid(slope * torch.logit(scores)) for scores in (clean, changed)]
        assert divergence_bound(*worse).value < divergence - 0.01


def test_what_a_discriminator_proves_goes_from_nothing_to_log_2():
    chance = torch.full((8,), 0.5)
    assert divergence_bound(chance, chance).value == pytest.approx(0.0, abs=1e-12)
    assert divergence_bound(chance, chance).margin == 0.0
    surely = divergence_bound(torch.ones(8), torch.zeros(8))
    assert surely.value == pytest.approx(math.log(2.0), abs=1e-5)
    assert -14 < divergence_bound(torch.zeros(8), torch.ones(8)).value < -13  # finite: log 1e-6


def test_the_margin_of_the_bound_is_that_of_a_mean_of_pairs():
    clean, changed = torch.rand(2, 50, generator=torch.Generator().manual_seed(0)).double()
    found = divergence_bound(clean, changed)
    binary = torch.nn.functional.binary_cross_entropy
    losses = binary(clean, torch.ones(50).double()), binary(changed, torch.zeros(50).double())
    assert found.value == pytest.approx(math.log(2.0) - float(sum(losses)) / 2)
    terms = ((clean.log() + (1 - changed).log()) / 2).numpy()
    assert found.margin == pytest.approx(1.96 * terms.std(ddof=1) / math.sqrt(50))


def test_path_of_a_linear_model():
    """The margin of a linear model is linear on each leg."""
    model, x = LinearModel(num_classes=2), middle_images(30)
    y = model(x).argmax(1)
    way = (model.weight[1] - model.weight[0]).detach().sign().view(1, 4, 4)
    x_adv = x - 0.3 * way * (2 * y - 1).view(-1, 1, 1, 1)
    path = accuracy_along(model, [x, x_adv, x], y, num_steps=4)
    assert [point.position for point in path] == [number / 4 for number in range(9)]
    assert path[0].accuracy == path[8].accuracy == 1.0
    assert path[4].accuracy < 0.5
    slope = 0.3 * float((model.weight[1] - model.weight[0]).detach().abs().sum()) / 4
    for before, after in pairwise(path[:5]):
        assert before.margin - after.margin == pytest.approx(slope, rel=1e-4)
    assert [p.margin for p in path] == pytest.approx([p.margin for p in reversed(path)])
