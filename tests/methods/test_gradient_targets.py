"""The targets of PAG against brute force and closed forms."""

import pytest
import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.gradients import conflict, cosine
from robust_core.methods.parts.gradient_targets import (
    KeptByIndex,
    class_means,
    direction_only,
    members_of_classes,
    nearest_of_each_class,
    one_image_of_each_class,
    score_differences,
    towards,
)
from robust_core.models.base import Normalize
from robust_core.models.denoiser import Denoiser, DenoiserParameters
from tests.toys import middle_images

NUM_CLASSES = 3


@pytest.fixture
def y() -> Tensor:
    return torch.tensor([0, 1, 2, 0, 1, 2, 1, 0])


@pytest.fixture
def x() -> Tensor:
    return middle_images(8, (1, 8, 8))


def gaussian_scores(x_t: Tensor, sigma: float, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of a mixture of equal Gaussians N(m_c, 1) blurred by sigma, and p(c | x_t)."""
    variance = 1 + sigma**2
    away = means - x_t[:, None]  # [N, K, C, H, W]
    probability = (-away.square().flatten(2).sum(2) / (2 * variance)).softmax(1)
    conditional = away / variance
    unconditional = (probability[:, :, None, None, None] * conditional).sum(1)
    return conditional, unconditional, probability


class GaussianDenoiser(Denoiser):
    """The exact denoiser of that mixture: D = x_t + sigma^2 s."""

    def __init__(self, means: Tensor) -> None:
        super().__init__((1, 8, 8), len(means), DenoiserParameters(width=4))
        self.means = means
        self.eval()

    def scores(self, x_t: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return gaussian_scores(x_t, float(sigma[0]), self.means)[:2]


def test_one_image_is_a_fixed_member_of_its_class(x, y):
    chosen = one_image_of_each_class(y, NUM_CLASSES, torch.Generator().manual_seed(4))
    assert torch.equal(y[chosen], torch.arange(NUM_CLASSES))
    again = one_image_of_each_class(y, NUM_CLASSES, torch.Generator().manual_seed(4))
    assert torch.equal(chosen, again)
    targets = towards(x, x[chosen])
    assert torch.equal(targets[5, 1], x[chosen[1]] - x[5])


def test_class_means_are_means_and_can_be_as_long_as_images(x, y):
    means = class_means(x, y, NUM_CLASSES)
    torch.testing.assert_close(means[1], x[[1, 4, 6]].mean(0))
    longer = class_means(x, y, NUM_CLASSES, match_length=True)
    length = Normalize()(x[[1, 4, 6]]).flatten(1).norm(dim=1).mean()
    torch.testing.assert_close(Normalize()(longer[1]).norm(), length)
    # as a direction of the centred images: only the length changes
    torch.testing.assert_close(
        cosine(Normalize()(longer), Normalize()(means)), torch.ones(NUM_CLASSES)
    )


def test_nearest_is_brute_force_without_the_image_itself(x, y):
    index = torch.arange(8)
    found = nearest_of_each_class(x, index, x, index, y, NUM_CLASSES)
    for i in range(8):
        for c in range(NUM_CLASSES):
            others = [j for j in range(8) if y[j] == c and j != i]
            best = min(others, key=lambda j: float((x[j] - x[i]).norm()))
            assert found[i, c] == best


def test_an_augmented_image_is_not_its_own_neighbour(x, y):
    moved = (x + 0.01).clamp(0, 1)
    index = torch.arange(8)
    found = nearest_of_each_class(moved, index, x, index, y, NUM_CLASSES)
    assert not (found == index[:, None]).any()


def test_close_neighbours_are_told_apart():
    pool = 0.5 + 1e-5 * torch.arange(40.0).view(-1, 1, 1, 1).expand(-1, 1, 1, 2)
    index = torch.arange(40)
    y = index % 2
    found = nearest_of_each_class(pool, index, pool, index, y, 2)
    assert ((found - index[:, None]).abs() <= 2).all()


def test_a_class_without_images_is_named():
    with pytest.raises(InputError, match="class 2 has none"):
        members_of_classes(torch.tensor([0, 1, 1]), 3)


def test_score_differences_are_the_gradient_of_the_posterior(x):
    """Bayes: s(x_t | c) - s(x_t) = grad log p(c | x_t), by autograd on the closed form."""
    means = Normalize()(middle_images(NUM_CLASSES, (1, 8, 8), seed=9))
    draws = torch.zeros(1, 1, 8, 8)  # no noise: x_t is the image itself
    targets = score_differences(GaussianDenoiser(means), x, 0.5, draws)
    centred = Normalize()(x).requires_grad_()
    probability = gaussian_scores(centred, 0.5, means)[2]
    for c in range(NUM_CLASSES):
        (expected,) = torch.autograd.grad(probability[:, c].log().sum(), centred, retain_graph=True)
        torch.testing.assert_close(targets[:, c], expected, rtol=1e-4, atol=1e-6)


def test_targets_of_one_density_are_not_in_conflict_and_others_are(x):
    means = Normalize()(middle_images(NUM_CLASSES, (1, 8, 8), seed=9))
    conditional, unconditional, _ = gaussian_scores(Normalize()(x), 0.5, means)
    consistent = conditional - unconditional[:, None]
    assert conflict(consistent).max() < 1e-3
    wrong = conditional - unconditional.roll(1, dims=0)[:, None]  # another image's
    assert conflict(wrong).min() > 0.3
    outside = towards(x + 1, x[:NUM_CLASSES])  # representatives all on one side of the image
    assert conflict(outside).min() > 0.9


def test_softmax_gradients_are_consistent_to_the_sheets_digits():
    """Golden: sum_c p_c grad log p_c = 0 to about 1e-10 for any softmax network."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 20), torch.nn.GELU())
    net.append(torch.nn.Linear(20, 5)).double()
    x = torch.rand(4, 1, 8, 8).double().requires_grad_()
    log_p = net(x).log_softmax(1)
    rows = [torch.autograd.grad(log_p[:, c].sum(), x, retain_graph=True)[0] for c in range(5)]
    total = sum(log_p[:, c].exp()[:, None, None, None] * rows[c] for c in range(5))
    assert isinstance(total, Tensor)
    assert total.abs().max() < 1e-10


def test_direction_only_keeps_the_direction_in_half_the_memory():
    targets = torch.randn(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tiny = direction_only(1e-12 * targets)
    assert tiny.dtype == torch.float16
    assert (cosine(tiny, targets) > 1 - 1e-5).all()
    assert not direction_only(torch.zeros(1, 2, 1, 4, 4)).any()


def test_what_belongs_to_an_image_is_made_once(x):
    calls = []

    def make(images: Tensor, index: Tensor) -> Tensor:
        calls.append(index.tolist())
        return images.flatten(1)[:, :3] + index[:, None]

    found = KeptByIndex(make)
    index = torch.tensor([5, 2])
    first = found(x[index], index)
    assert torch.equal(first, x[index].flatten(1)[:, :3] + index[:, None])
    more = torch.tensor([2, 7, 5])
    assert torch.equal(found(x[more], more)[[2, 0]], first)
    assert calls == [[5, 2], [7]]
