"""The denoiser: what it guesses, its scores, the classifier in it, and its training."""

import pytest
import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.losses import cross_entropy
from robust_core.methods.base import Batch, create_method
from robust_core.methods.denoising import Denoising
from robust_core.models.base import Normalize, create_model
from robust_core.models.denoiser import Denoiser
from tests.toys import middle_images

SHAPE, NUM_CLASSES = (1, 8, 8), 3


def denoiser(shape=SHAPE, **parameters) -> Denoiser:
    model = create_model("denoiser", shape, NUM_CLASSES, {"width": 8, **parameters})
    assert isinstance(model, Denoiser)
    return model.eval()


def two_pictures(n: int) -> tuple[Tensor, Tensor]:
    """Three classes of flat pictures with levels .1, .5 and .9: the scores are known."""
    y = torch.arange(n) % NUM_CLASSES
    return (0.1 + 0.4 * y)[:, None, None, None].expand(-1, *SHAPE).contiguous(), y


def train(num_steps: int, **parameters) -> Denoiser:
    model = denoiser(noise=1.0)
    method = create_method("denoising", parameters)
    method.attach(model)
    x, y = two_pictures(48)
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(num_steps):
        loss = method.training_loss(model, Batch(x, y, torch.arange(48))).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def inconsistency(scores: tuple[Tensor, Tensor], probability: Tensor) -> float:
    """||sum_c p_c (s(x_t | c) - s(x_t))|| relative to the terms; 0 for scores of one density."""
    difference = (scores[0] - scores[1][:, None]).flatten(2)
    rest = (probability[:, :, None] * difference).sum(dim=1).norm(dim=1)
    return float((rest / difference.norm(dim=2).mean(dim=1)).mean())


@pytest.fixture(scope="module")
def trained() -> Denoiser:
    with torch.random.fork_rng():
        return train(120, smallest_noise=0.5, largest_noise=4.0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)], ids=str)
def test_scores_are_the_moves_over_the_variance(shape):
    model = denoiser(shape)
    x_t = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.5, 2.0])
    with torch.no_grad():
        conditional, unconditional = model.scores(x_t, sigma)
        for c in range(NUM_CLASSES):
            guess = model.denoise(x_t, sigma, torch.full((2,), c))
            expected = (guess - x_t) / sigma.square().view(-1, 1, 1, 1)
            torch.testing.assert_close(conditional[:, c], expected)
        guess = model.denoise(x_t, sigma, torch.full((2,), NUM_CLASSES))
        torch.testing.assert_close(unconditional, (guess - x_t) / sigma.square().view(-1, 1, 1, 1))
    assert conditional.shape == (2, NUM_CLASSES, *shape)


def test_little_noise_leaves_the_image_alone_and_much_leaves_none_of_it():
    """The skip of the preconditioning: c_skip = s^2 / (sigma^2 + s^2)."""
    model = denoiser()
    torch.nn.init.zeros_(model.output.weight)
    assert model.output.bias is not None
    torch.nn.init.zeros_(model.output.bias)
    x_t = middle_images(1, SHAPE)
    with torch.no_grad():
        for sigma, share in ((1e-3, 1.0), (0.5, 0.5), (1e3, 0.0)):
            guess = model.denoise(x_t, torch.tensor([sigma]), torch.tensor([0]))
            torch.testing.assert_close(guess, share * x_t, atol=1e-5, rtol=1e-4)


def test_logits_are_the_weighted_denoising_errors():
    model, x = denoiser(noise=0.7), middle_images(4, SHAPE)
    clean = Normalize()(x)
    with torch.no_grad():
        for c in range(NUM_CLASSES):
            guess = model.denoise(clean, torch.full((4,), 0.7), torch.full((4,), c))
            error = (guess - clean).square().sum((1, 2, 3)) / (2 * 0.7**2)
            weight = model.classifier.weight.item()
            torch.testing.assert_close(model(x)[:, c], -weight * error)


@pytest.mark.slow
def test_it_learns_to_denoise_and_so_to_classify(trained):
    x, y = two_pictures(48)
    clean = Normalize()(x)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    x_t, sigma = clean + 2.0 * noise, torch.full((48,), 2.0)
    with torch.no_grad():
        own = (trained.denoise(x_t, sigma, y) - clean).square().mean()
        none = (trained.denoise(x_t, sigma, torch.full((48,), NUM_CLASSES)) - clean).square().mean()
        wrong = (trained.denoise(x_t, sigma, (y + 1) % NUM_CLASSES) - clean).square().mean()
        assert own < none < wrong  # what the class is worth
        assert own < 0.1
        assert (trained(x).argmax(1) == y).all()


@pytest.mark.slow
def test_scores_of_a_trained_denoiser_are_self_consistent(trained):
    """sum_c p(c | x_t) s(x_t | c) = s(x_t), with the exact posterior of the flat pictures."""
    clean = Normalize()(two_pictures(48)[0])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    levels = Normalize()(0.1 + 0.4 * torch.arange(NUM_CLASSES).float())
    sigma = 4.0  # so much that the classes are in doubt
    x_t = clean + sigma * noise
    distance = (x_t.flatten(1)[:, None] - levels[:, None]).square().sum(2)
    posterior = (-distance / (2 * sigma**2)).softmax(1)
    with torch.no_grad():
        found = trained.scores(x_t, torch.full((48,), sigma))
        untrained = denoiser().scores(x_t, torch.full((48,), sigma))
    consistent = inconsistency(found, posterior)
    assert consistent < 0.35
    assert consistent < 0.5 * inconsistency(found, posterior.roll(1, 1))
    assert consistent < 0.5 * inconsistency(untrained, posterior)


def test_posterior_term_moves_the_temperature_alone():
    model = denoiser()
    method = create_method("denoising")
    assert isinstance(method, Denoising)
    x, y = two_pictures(16)
    torch.manual_seed(0)
    error = method.denoising_error(model, x, y).mean()
    torch.manual_seed(0)
    output = method.training_loss(model, Batch(x, y, torch.arange(16)))
    names = [name for name, _ in model.named_parameters()]
    of_error = torch.autograd.grad(error, list(model.parameters()), allow_unused=True)
    of_loss = torch.autograd.grad(output.loss, list(model.parameters()))
    for name, one, other in zip(names, of_error, of_loss, strict=True):
        if name == "classifier.weight":
            assert one is None and other.abs().sum() > 0
        else:
            torch.testing.assert_close(one, other)
    expected = cross_entropy(model(x[:2]), y[:2]).mean().item()
    assert output.terms["posterior_cross_entropy"] == pytest.approx(expected)


def test_withheld_classes_train_the_unconditional_score():
    """With nearly every class withheld, the class embeddings get nearly no gradient."""
    model = denoiser()
    method = create_method("denoising", {"label_dropout": 0.999})
    assert isinstance(method, Denoising)
    x, y = two_pictures(30)
    torch.manual_seed(0)
    method.denoising_error(model, x, y).mean().backward()
    assert model.label.weight.grad is not None
    of_label = model.label.weight.grad.norm(dim=1)
    assert of_label[-1] > 0
    assert of_label[:-1].max() < 0.2 * of_label[-1]


def test_noise_levels_keep_their_order():
    with pytest.raises(InputError, match="smallest_noise must be <= largest_noise, got 2 and 1"):
        create_method("denoising", {"smallest_noise": 2.0, "largest_noise": 1.0})


def test_only_a_denoiser_is_trained_to_denoise():
    model = create_model("small_cnn", SHAPE, NUM_CLASSES, {"width": 4})
    with pytest.raises(InputError, match="denoising trains the model denoiser, got a SmallCNN"):
        create_method("denoising").attach(model)
