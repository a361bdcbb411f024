"""Gradients of every class, their alignment, and how they are shown."""

from typing import cast

import pytest
import torch

from robust_core.analysis.alignment import (
    Average,
    TargetName,
    alignment,
    channel_sum,
    deviations_of_channels,
    gradients_of_classes,
    signed_maximum,
    target_directions,
    three_deviations,
    zero_gradient_share,
)
from robust_core.data import ImageSet
from robust_core.errors import InputError
from robust_core.models.base import create_model
from robust_core.models.denoiser import Denoiser
from tests.toys import LinearModel, SmallNet, middle_images


def some_gradient(n: int = 4, shape=(3, 8, 8)) -> torch.Tensor:
    return 1e-6 * (0.3 + torch.randn(n, *shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("score", ["loss", "logit", "log_probability"])
def test_gradients_of_a_linear_model_are_in_closed_form(score):
    model, x = LinearModel(), middle_images(5)
    gradient = gradients_of_classes(model, x, score, batch_size=2)
    w = model.weight.detach()
    mean = model(x).softmax(1).detach() @ w  # [N, D]
    of_log_p = w[None] - mean[:, None]
    expected = {"logit": w.expand(5, -1, -1), "log_probability": of_log_p, "loss": -of_log_p}
    torch.testing.assert_close(gradient.flatten(2), expected[score])


def test_model_is_seen_in_eval_mode_and_left_as_it_was():
    model, x = SmallNet().train(), middle_images(3, (1, 8, 8))
    first = gradients_of_classes(model, x)
    assert torch.equal(gradients_of_classes(model, x), first)  # no dropout
    assert model.training
    assert not first.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_alignment_with_its_own_gradients_is_perfect_and_finds_swapped_classes():
    model, x = LinearModel(), middle_images(5)
    own = gradients_of_classes(model, x)
    aligned = alignment(model, x, lambda part, index: 7.0 * own[index], batch_size=2)
    assert aligned.mean == pytest.approx(1.0, abs=1e-5)
    assert aligned.cosine.shape == (5, 3)
    assert torch.equal(aligned.by_class.argmax(1), torch.arange(3))
    assert aligned.conflict.max() < 1e-3  # a softmax classifier has them
    opposite = alignment(model, x, lambda part, index: -own[index])
    assert opposite.mean == pytest.approx(-1.0, abs=1e-5)
    swapped = alignment(model, x, lambda part, index: own[index].roll(1, dims=1))
    assert swapped.by_class.argmax(1).tolist() == [1, 2, 0]
    assert swapped.mean < 0.5


def test_table_of_classes_has_the_mean_cosines_on_its_diagonal():
    model, x = SmallNet(), middle_images(6, (1, 8, 8))
    targets = torch.randn(6, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = alignment(model, x, lambda part, index: targets[index], batch_size=4)
    torch.testing.assert_close(found.by_class.diagonal(), found.cosine.mean(0))


def test_the_baselines_are_the_targets_of_other_classes_and_of_another_image():
    model, x = SmallNet(), middle_images(5, (1, 8, 8))
    targets = torch.randn(5, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = alignment(model, x, lambda part, index: targets[index], batch_size=4)
    off = found.by_class.sum(1) - found.by_class.diagonal()
    torch.testing.assert_close(found.shuffled_class.mean(0), off / 2)
    another = targets[[2, 0, 1, 4, 3]]  # batches of three and of two
    expected = alignment(model, x, lambda part, index: another[index]).cosine
    torch.testing.assert_close(found.shuffled_image, expected)
    one_for_all = alignment(
        model, x, lambda part, index: targets[:1].expand(len(part), -1, -1, -1, -1)
    )
    torch.testing.assert_close(one_for_all.shuffled_image, one_for_all.cosine)
    assert alignment(model, x[:1], lambda part, index: targets[:1]).shuffled_image.isnan().all()


def test_the_interval_of_an_average_is_students_over_images():
    found = Average.of(torch.tensor([[1.0, 3.0], [4.0, 4.0], [6.0, 6.0]]))  # means 2, 4, 6
    assert found.mean == pytest.approx(4.0)
    assert found.high - found.mean == pytest.approx(4.302653 * 2 / 3**0.5)
    assert Average.of(torch.ones(1, 2)).high == float("inf")
    draws = torch.randn(400, 50, 1, generator=torch.Generator().manual_seed(0))
    covered = [(one := Average.of(draw)).low < 0 < one.high for draw in draws]
    assert 0.92 < sum(covered) / len(covered) < 0.98


def test_three_deviations_show_the_mean_as_mid_grey():
    gradient = some_gradient()
    shown = three_deviations(gradient)
    assert shown.shape == gradient.shape
    assert shown.min() >= 0 and shown.max() <= 1
    torch.testing.assert_close(shown.mean((1, 2, 3)), torch.full((4,), 0.5), atol=1e-2, rtol=0)
    torch.testing.assert_close(three_deviations(1e5 * gradient + 3.0), shown, atol=1e-2, rtol=0)
    one = torch.zeros(1, 1, 10, 10)
    one[0, 0, 0, 0] = 1.0  # ten deviations away: clipped
    assert three_deviations(one)[0, 0, 0, 0] == 1.0


def test_deviations_of_channels_show_one_and_a_half_of_each():
    gradient = some_gradient() * torch.tensor([1.0, 100.0, 1e4]).view(1, 3, 1, 1)
    shown = deviations_of_channels(gradient)
    flat = gradient.flatten(2)
    z = (flat - flat.mean(2, keepdim=True)) / flat.std(2, keepdim=True, correction=0)
    torch.testing.assert_close(shown.flatten(2), (z / 3 + 0.5).clamp(0, 1), atol=1e-4, rtol=0)
    assert (shown.flatten(2)[z > 1.51] == 1).all()


def test_signed_maximum_keeps_zero_at_mid_grey_and_signs_apart():
    gradient = some_gradient()
    shown = signed_maximum(gradient)
    assert torch.equal(shown > 0.5, gradient > 0)
    largest = (shown - 0.5).abs().amax((1, 2, 3))
    torch.testing.assert_close(largest, torch.full((4,), 0.5))
    torch.testing.assert_close(signed_maximum(-gradient), 1 - shown)


def test_channel_sum_clips_the_brightest_hundredth():
    gradient = torch.arange(1.0, 101.0).view(1, 1, 10, 10)
    shown = channel_sum(-gradient)
    assert shown.shape == (1, 1, 10, 10)
    torch.testing.assert_close(shown[0, 0, 0, 0], torch.tensor(1.0 / 99.01))
    assert (shown == 1).sum() == 1
    torch.testing.assert_close(channel_sum(gradient.repeat(1, 3, 1, 1)), shown)


@pytest.mark.parametrize(
    "show", [three_deviations, deviations_of_channels, signed_maximum, channel_sum]
)
def test_a_gradient_of_zero_can_be_shown(show):
    shown = show(torch.zeros(2, 3, 4, 4))
    assert shown.isfinite().all()
    assert shown.unique().numel() == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, x: gradients_of_classes(m, x[:0]), "at least one image, got none"),
        (lambda m, x: gradients_of_classes(m, 2 * x), r"images must lie in \[0, 1\]"),
        (
            lambda m, x: gradients_of_classes(m, x, "logits"),  # pyright: ignore[reportArgumentType]
            "unknown score 'logits'.*'logit'",
        ),
        (lambda m, x: alignment(m, x[:0], lambda a, b: a), "at least one image, got none"),
        (
            lambda m, x: alignment(m, x, lambda a, b: a),
            r"targets must be \[5, 3, 1, 4, 4\], got \[5, 1, 4, 4\]",
        ),
        (lambda m, x: channel_sum(x, 0.0), r"percentile must be in \(0, 100\], got 0"),
    ],
)
def test_wrong_input(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(LinearModel(), middle_images(5))


def training_images() -> ImageSet:
    x = middle_images(9)
    return ImageSet("toy", "train", x, torch.arange(9) % 3, ("a", "b", "c"), torch.arange(9))


def test_targets_lead_to_images_of_their_class():
    images, x = training_images(), middle_images(4, seed=5)
    for kind in ("OI", "NN"):
        ends = target_directions(kind, images)(x) + x[:, None]  # [4, 3, 1, 4, 4]
        for label in range(3):
            pool = images.x[images.y == label]
            distance = torch.cdist(ends[:, label].flatten(1), pool.flatten(1))
            assert float(distance.min(dim=1).values.max()) < 1e-5
            if kind == "NN":
                best = torch.cdist(x.flatten(1), pool.flatten(1)).argmin(dim=1)
                assert torch.equal(distance.argmin(dim=1), best)
            else:
                assert len(distance.argmin(dim=1).unique()) == 1, "one image for all"
    ends = target_directions("CM", images)(x) + x[:, None]
    for label in range(3):
        mean = images.x[images.y == label].mean(dim=0)
        torch.testing.assert_close(ends[:, label], mean.expand(4, -1, -1, -1))


def test_score_based_targets_need_a_denoiser_and_are_the_same_for_one_seed():
    images = training_images()
    with pytest.raises(InputError, match="need a denoiser, got none"):
        target_directions("SBG", images)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        denoiser = create_model("denoiser", (1, 8, 8), 3, {"width": 8}).eval()
    assert isinstance(denoiser, Denoiser)
    x = middle_images(2, (1, 8, 8))
    images = ImageSet("toy", "train", x, torch.tensor([0, 1]), ("a", "b", "c"), torch.arange(2))
    one, again, other = (
        target_directions("SBG", images, denoiser=denoiser, noise=0.5, seed=seed)(x)
        for seed in (0, 0, 1)
    )
    assert one.shape == (2, 3, 1, 8, 8)
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_targets_need_every_class_and_a_known_kind():
    images = training_images()
    for kind in ("OI", "CM", "NN"):
        with pytest.raises(InputError, match="class 2 has none"):
            target_directions(kind, images.subset(images.y < 2))
    with pytest.raises(InputError, match="unknown kind of targets 'XX'"):
        target_directions(cast(TargetName, "XX"), images)


def test_a_gradient_is_zero_where_nothing_is_passed_on():
    class Dead(LinearModel):
        def forward(self, x):
            return super().forward(x.where(x.flatten(1).sum(dim=1).view(-1, 1, 1, 1) > 0, 0.0 * x))

    x = middle_images(4)
    x[0] = 0.0
    y = torch.zeros(4, dtype=torch.int64)
    assert zero_gradient_share(Dead(), x, y) == 0.25
    assert zero_gradient_share(LinearModel(), x, y) == 0.0


def test_the_gradients_of_some_classes_are_those_of_all():
    model = create_model("small_cnn", (1, 8, 8), 6, {"width": 4}).eval()
    x = torch.rand((2, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    every = gradients_of_classes(model, x)
    assert torch.equal(gradients_of_classes(model, x, classes=[4, 1]), every[:, [4, 1]])
