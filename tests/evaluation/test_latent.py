"""The latent space: projections, distances and paths, each against a closed form."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust_core.errors import InputError
from robust_core.evaluation.latent import (
    accuracy_along,
    centroid_drift,
    class_distances,
    detection_auroc,
    latent_features,
    layer_divergence,
    maximum_mean_discrepancy,
    natural_scores,
    neighbour_overlap,
    project,
    score_histogram,
    wasserstein_along_drift,
)
from robust_core.models.base import create_model
from robust_core.models.discriminator import Discriminator
from tests.toys import LinearModel, labels, middle_images


def cloud(n: int = 40, dimensions: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed))


def test_features_are_the_networks_own_and_its_mode_is_kept():
    model = create_model("preact_resnet18", (1, 8, 8), 3, {"width": 4}).train()
    x = middle_images(5, (1, 8, 8))
    features = latent_features(model, x, batch_size=2)
    assert model.training
    torch.testing.assert_close(features, model.eval().features(x).detach())
    with pytest.raises(InputError, match="a network with features, got a LinearModel"):
        latent_features(LinearModel(), x)


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


def test_tsne_places_adversarial_points_between_their_clean_neighbours():
    clean = torch.cat([cloud(30), cloud(30) + 50.0])
    adversarial = torch.cat([clean[:5], clean[30:35] + 1e-3])
    shown = project(clean, adversarial, "tsne", seed=1)
    again = project(clean, adversarial + 3.0, "tsne", seed=1)
    assert np.array_equal(shown.clean, again.clean)
    assert np.allclose(shown.adversarial[:5], shown.clean[:5], atol=1e-3)
    centres = [shown.clean[:30].mean(axis=0), shown.clean[30:].mean(axis=0)]
    moved = shown.adversarial[5:]
    near, far = (np.linalg.norm(moved - centre, axis=1) for centre in reversed(centres))
    assert (near < far).all()


def test_wrong_projections_get_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match="umap-learn, which is not installed"):
        project(cloud(), cloud(), "umap")
    with pytest.raises(InputError, match="one of pca, tsne, umap, got 'lda'"):
        project(cloud(), cloud(), "lda")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="2 or 3 dimensions, got 4"):
        project(cloud(), cloud(), num_dimensions=4)
    with pytest.raises(InputError, match="at least 10 clean features"):
        project(cloud(4), cloud(4))


def test_distances_of_a_shift():
    clean, shift = cloud(), torch.tensor([3.0, 0.0, 4.0, 0.0, 0.0, 0.0])
    assert centroid_drift(clean, clean + shift) == pytest.approx(5.0, rel=1e-5)
    assert wasserstein_along_drift(clean, clean + shift) == pytest.approx(5.0, rel=1e-5)


def test_wasserstein_sees_a_spread_that_the_drift_hides():
    clean = torch.zeros(4, 2)
    attacked = torch.tensor([[-1.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [3.0, 0.0]])
    assert centroid_drift(clean, attacked) == pytest.approx(1.0)
    assert wasserstein_along_drift(clean, attacked) == pytest.approx(2.0)


def test_nothing_moved():
    clean = cloud()
    for row in class_distances(clean, clean, labels(40)):
        assert (row.drift, row.wasserstein, row.overlap) == (0.0, 0.0, 1.0)
        assert row.mmd == pytest.approx(0.0, abs=1e-6)


def test_mmd_of_two_points_far_apart():
    """Two samples at one place each, distance d: most distances are d, so k = exp(-1/2)."""
    clean, attacked = torch.zeros(5, 3), torch.zeros(5, 3)
    attacked[:, 1] = 7.0
    expected = math.sqrt(2 - 2 * math.exp(-0.5))
    assert maximum_mean_discrepancy(clean, attacked) == pytest.approx(expected)


def test_mmd_against_its_definition():
    clean, attacked = cloud(4).double(), cloud(3, seed=1).double() + 0.5
    points = [*clean, *attacked]
    apart = [float((p - q).norm()) for i, p in enumerate(points) for q in points[i + 1 :]]
    width = sorted(apart)[len(apart) // 2]  # 21 distances, the eleventh

    def mean_kernel(first: Tensor, second: Tensor) -> float:
        values = [
            math.exp(-(float((p - q).norm()) ** 2) / (2 * width**2)) for p in first for q in second
        ]
        return sum(values) / len(values)

    squared = mean_kernel(clean, clean) + mean_kernel(attacked, attacked)
    squared -= 2 * mean_kernel(clean, attacked)
    found = maximum_mean_discrepancy(clean.float(), attacked.float())
    assert found == pytest.approx(math.sqrt(squared), rel=1e-5)


def test_neighbours_kept():
    line = torch.arange(10.0)[:, None]
    assert neighbour_overlap(line, line, 2).tolist() == [1.0] * 10
    moved = line.clone()
    moved[0] = 9.0  # its neighbours 1, 2 become 9, 8
    moved[9] = 6.6  # its neighbours 8, 7 become 7, 6
    assert neighbour_overlap(line, moved, 2).tolist() == [0.0] + [1.0] * 8 + [0.5]


def test_rows_of_distances_are_all_images_and_then_each_class():
    y = torch.tensor([0] * 20 + [2] * 19 + [5])
    clean = cloud()
    attacked = clean.clone()
    attacked[:20] += 4.0
    rows = class_distances(clean, attacked, y)
    assert [(row.label, row.num_images) for row in rows] == [(None, 40), (0, 20), (2, 19)]
    assert rows[1].drift > rows[0].drift > rows[2].drift == 0.0


def test_divergence_of_each_layer_in_closed_form():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    x = middle_images(5)
    first, last = layer_divergence(model, x, 1.5 * x)
    assert (first.layer, last.layer) == ("1", "3")
    assert first.relative == pytest.approx(0.5, rel=1e-5)
    assert first.cosine == pytest.approx(0.0, abs=1e-6)
    assert not any(module._forward_hooks for module in model.modules())
    turned = layer_divergence(model, x, -x)[0]
    assert turned.relative == pytest.approx(2.0, rel=1e-5)
    assert turned.cosine == pytest.approx(2.0, rel=1e-5)


def test_scores_of_a_discriminator():
    model = create_model("small_cnn", (1, 8, 8), 3, {"width": 4}).eval()
    discriminator = Discriminator(3, num_blocks=1, widen_factor=1).train()
    x = middle_images(6, (1, 8, 8))
    scores = natural_scores(model, discriminator, x)
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
