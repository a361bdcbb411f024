"""Golden and statistical values: released code of arXiv:2106.09534, both versions."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.accuracy import evaluate
from robust_core.gradients import input_gradient
from robust_core.losses import cross_entropy
from robust_core.models.base import create_model
from robust_core.models.retinotopic import (
    Density,
    PixelStep,
    RetinotopicSampler,
    choose_centres,
    eccentricity,
    expected_view,
    fovea_radius,
    grid_centres,
    keep_probability,
    on_probability,
    sample_masks,
)
from robust_core.models.retinotopic_classifier import RetinotopicClassifier, RetinotopicParameters

DENSITY = Density()
SIXTH = 1 / 6
W = 0.9


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 4, shape=(3, 16, 16), seed: int = 1) -> Tensor:
    return torch.rand((n, *shape), generator=generator(seed))


def retinotopic(shape=(3, 16, 16), num_classes=5, **parameters) -> RetinotopicClassifier:
    values = {"backbone": "small_cnn", "backbone_width": 4, **parameters}
    model = create_model("retinotopic", shape, num_classes, values).eval()
    assert isinstance(model, RetinotopicClassifier)
    return model


@pytest.mark.parametrize(
    ("side", "centre", "farthest", "radius", "least", "kept"),
    [
        (32, (16, 16), 22.6, 9.7, 0.801, 0.9535),
        (32, (5, 16), 30.5, 12.0, 0.757, 0.9471),
        (32, (5, 5), 36.8, 13.9, 0.730, 0.9427),
        (32, (27, 27), 38.2, 14.3, 0.724, 0.9390),
        (64, (32, 32), 45.3, 16.4, 0.699, 0.9236),
        (64, (53, 53), 75.0, 25.2, 0.626, 0.9218),
        (84, (42, 42), 59.4, 20.6, 0.659, 0.9137),
    ],
)
def test_mask_density_has_the_golden_values(side, centre, farthest, radius, least, kept):
    size = (side, side)
    keep = keep_probability(size, centre, DENSITY)
    assert float(eccentricity(size, centre).max()) == pytest.approx(farthest, abs=0.051)
    assert fovea_radius(size, centre, DENSITY) == pytest.approx(radius, abs=0.051)
    assert float(keep.min()) == pytest.approx(least, abs=6e-4)
    assert float(keep.mean()) == pytest.approx(kept, abs=6e-5)


def test_masks_keep_what_the_probability_says_and_all_of_the_fovea():
    size, centre = (32, 32), (5, 16)
    masks = sample_masks(size, centre, DENSITY, 4000, generator=generator())
    assert (masks.dtype, masks.shape) == (torch.bool, (4000, 1, 32, 32))
    keep = keep_probability(size, centre, DENSITY)
    share = masks.float().mean(dim=(0, 1))
    assert float((share - keep).abs().max()) < 4.5 * math.sqrt(0.25 / 4000)
    assert float(share.mean()) == pytest.approx(0.9471, abs=1e-3)
    fovea = eccentricity(size, centre) <= fovea_radius(size, centre, DENSITY) - 1e-3
    assert bool(masks[:, 0, fovea].all()) and 100 < int(fovea.sum()) < 1024


def test_rows_and_columns_are_not_mixed_up():
    distance = eccentricity((8, 20), (15, 2))
    assert distance.shape == (8, 20)
    assert float(distance[2, 15]) == 0.0
    assert float(distance[5, 19]) == 5.0


def test_views_are_nearly_binary_and_switch_on_as_the_probability_says():
    values = torch.tensor([-1.2, -0.9, -0.5, 0.0, 0.3, 0.9, 1.2])
    x = values.view(1, 1, 1, -1).expand(1, 1, 30_000, -1)
    samples = RetinotopicSampler(num_samples=1)(x, (0, 0), generator())
    expected = on_probability(values, W)
    share = samples.binary.mean(dim=(0, 1, 2, 3))
    assert torch.allclose(expected[[0, 1, 3, 5, 6]], torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
    assert float((share - expected).abs().max()) < 4.5 * math.sqrt(0.25 / 30_000)
    assert bool((samples.binary[..., 0] == 0).all()) and bool((samples.binary[..., 6] > 0.99).all())


def test_normal_pixels_have_the_golden_shares():
    """With x ~ N(0, 1), w = 0.9, n = 3."""
    x = torch.randn(20, 3, 32, 32, generator=generator())
    sampler, active = RetinotopicSampler(), torch.zeros_like(x, dtype=torch.bool)
    after_one, between = 0.0, []
    for number in range(9):
        binary = sampler(x, (16, 16), generator(number)).binary
        active |= (binary > 0).any(dim=0)
        after_one = after_one or float((~active).float().mean())
        between.append(float(((binary > 0.001) & (binary < 0.999)).float().mean()))
    assert sum(between) / len(between) == pytest.approx(0.0035, rel=0.15)
    assert float((x.abs() > W).float().mean()) == pytest.approx(0.37, abs=0.005)
    assert after_one == pytest.approx(0.34, abs=0.01)
    assert float((~active).float().mean()) == pytest.approx(0.20, abs=0.01)


def test_native_gradient_is_the_derivative_of_the_step():
    noisy = torch.tensor([-0.5, 1e-5, 1e-3, 0.1, 1.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(PixelStep()(noisy).sum(), noisy)
    tau = 1e-5
    expected = torch.where(noisy > 0, tau / (noisy + tau) ** 2, 0.0).detach()
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=0.0)


def test_the_mean_of_the_native_gradient_is_the_expected_one():
    """By quadrature over the noise: the mean is carried by events too rare to sample."""
    x = torch.tensor([-1.0, -0.5, 0.0, 0.8], dtype=torch.float64)
    near = torch.logspace(-12, math.log10(2 * W), 200_001, dtype=torch.float64)  # x + w u > 0
    slope = 1e-5 / (near + 1e-5) ** 2
    for value in x:
        inside = near <= value + W
        integral = torch.trapezoid(slope[inside], near[inside]) / (2 * W) if inside.any() else 0.0
        target = 1 / (2 * W) if abs(value) < W else 0.0
        assert float(integral) == pytest.approx(target, abs=1e-4)


def test_expected_gradient_has_the_same_outputs_and_the_exact_mean_slope():
    x = torch.linspace(-1.5, 1.5, 31).view(1, 1, 1, -1).requires_grad_(True)
    native, expected = (
        RetinotopicSampler(gradient=gradient)(x, (3, 0), generator()).binary
        for gradient in ("native", "expected")
    )
    assert torch.equal(native, expected)
    (slope,) = torch.autograd.grad(expected.mean(dim=0).sum(), x)
    inside = (x.detach().abs() < W).float()
    torch.testing.assert_close(slope, inside / (2 * W))


def test_the_sampler_stays_in_float32_under_autocast():
    """In half precision the slope is 10 at s = 1e-3 and 0 at 0.1: not what it should be."""
    half = torch.tensor([1e-3, 0.1], dtype=torch.float16, requires_grad=True)
    (slope,) = torch.autograd.grad(PixelStep()(half).sum(), half)
    assert float(slope[0]) == pytest.approx(10.0, rel=0.05) and float(slope[1]) == 0.0
    x = images().bfloat16().requires_grad_(True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        samples = RetinotopicSampler()(x, (8, 8), generator())
    assert samples.binary.dtype == samples.view.dtype == torch.float32
    same = RetinotopicSampler()(x.detach().float(), (8, 8), generator())
    assert torch.equal(samples.binary, same.binary)


def test_a_view_is_the_mean_of_its_masked_samples():
    x = images()
    samples = RetinotopicSampler()(x, (8, 8), generator())
    assert samples.binary.shape == (3, 4, 3, 16, 16)
    expected = sum(binary * mask for binary, mask in zip(*_parts(samples), strict=True)) / 3
    torch.testing.assert_close(samples.view, expected)
    assert float(samples.keep_ratio) == pytest.approx(samples.masks.float().mean().item())
    thirds = 3 * samples.view
    assert float(((thirds - thirds.round()).abs() < 0.01).float().mean()) > 0.98
    assert not torch.equal(samples.masks[0], samples.masks[1])


def _parts(samples) -> tuple[list[Tensor], list[Tensor]]:
    return list(samples.binary), list(samples.masks)


def test_the_expected_view_is_the_mean_of_many():
    x = images(1, (1, 8, 8)) - 0.5
    samples = RetinotopicSampler(num_samples=20_000)(x, (2, 5), generator())
    mean = expected_view(x, (2, 5), W, DENSITY)
    assert float((samples.view - mean).abs().max()) < 4.5 * math.sqrt(0.25 / 20_000)


def test_v1_has_on_and_off_channels_under_one_mask_without_their_mean():
    model = retinotopic(version="v1", num_views=3)
    x = images()
    samples = model.sampler(x, (8, 8), generator())
    assert samples.binary.shape == (3, 4, 6, 16, 16)
    assert samples.masks.shape == (3, 1, 16, 16)
    on, off = samples.binary.split(3, dim=2)
    assert not torch.equal(on, 1 - off)
    assert bool((on.mean(dim=(0, 1, 3, 4)) > 0.6).all())  # P(ON), P(OFF) in [1/2, 1]
    views = model.sample_views(x)
    assert views.images.shape == (3, 4, 6, 16, 16)
    assert float(views.images.mean(dim=(3, 4)).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("side", "places"),
    [(32, (16, 5, 27)), (64, (32, 11, 53)), (84, (42, 14, 70)), (8, (4, 1, 7)), (28, (14, 5, 23))],
)
def test_grid_centres_are_the_released_ones(side, places):
    expected = [(places[k // 3], places[k % 3]) for k in range(9)]
    assert grid_centres((side, side), SIXTH) == expected
    assert choose_centres("fixed", (side, side), SIXTH, 4) == expected[:4]


def test_centres_of_other_images_and_of_the_toy():
    assert sorted(set(grid_centres((64, 64), 5 / 16))) == [
        (a, b) for a in (20, 32, 44) for b in (20, 32, 44)
    ]
    wide = grid_centres((12, 30), SIXTH)
    assert wide[:4] == [(15, 6), (15, 2), (15, 10), (5, 6)]


def test_drawn_centres_are_uniform():
    grid = choose_centres("grid", (32, 32), SIXTH, 9000, generator())
    counts = [grid.count(centre) for centre in grid_centres((32, 32), SIXTH)]
    assert sum(counts) == 9000 and max(abs(count - 1000) for count in counts) < 150
    anywhere = choose_centres("random", (64, 32), SIXTH, 4000, generator())
    columns, rows = (set(places) for places in zip(*anywhere, strict=True))
    assert columns == set(range(5, 28)) and rows == set(range(11, 54))


def test_logits_are_the_mean_over_views_divided_by_the_keep_ratio():
    model, x = retinotopic(), images()
    torch.manual_seed(0)
    outputs = model.view_outputs(x)
    assert outputs.logits.shape == (9, 4, 5)
    assert outputs.features.shape == (9, 4, 16)
    assert outputs.keep_ratio.shape == (9,)
    expected = sum(
        logits / (float(z) + 1e-9)
        for logits, z in zip(outputs.logits, outputs.keep_ratio, strict=True)
    )
    torch.manual_seed(0)
    logits = model(x)
    torch.testing.assert_close(logits, expected / 9)
    torch.testing.assert_close(model.decide(outputs), expected / 9)
    torch.manual_seed(0)
    features = model.features(x)
    assert features.shape == (4, model.num_features)
    assert torch.equal(model.head(features), logits)


def test_v1_takes_the_plain_mean_of_logits():
    model, x = retinotopic(version="v1", num_views=4), images()
    torch.manual_seed(0)
    outputs = model.view_outputs(x)
    torch.manual_seed(0)
    torch.testing.assert_close(model(x), outputs.logits.mean(dim=0))


@pytest.mark.parametrize(
    ("values", "num_views"),
    [
        ({}, 9),
        ({"version": "v2", "centres": "random"}, 9),
        ({"version": "v1"}, 15),
        ({"version": "v1", "num_views": None}, 15),
        ({"version": "v1", "centres": "fixed"}, 9),
        ({"version": "v1", "num_views": 9}, 9),
        ({"version": "v2", "num_views": 4}, 4),
    ],
)
def test_each_version_has_its_published_number_of_views(values, num_views):
    parameters = RetinotopicParameters.create(values)
    assert parameters.num_views == num_views
    assert RetinotopicParameters.create(parameters.model_dump(mode="json")) == parameters


def test_v2_normalises_before_it_samples_and_the_backbone_sees_the_view_itself():
    model = retinotopic()
    x = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1).expand(64, 3, 16, 16)
    views = model.sample_views(x, centres=[(8, 8)])
    expected = 0.5 * float(views.keep_ratio)
    torch.testing.assert_close(
        views.images.mean(dim=(0, 1, 3, 4)), torch.full((3,), expected), rtol=0.02, atol=0.0
    )
    seen: list[Tensor] = []
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.outputs_of(views)
    assert torch.equal(seen[0], views.images[0])


def test_grey_images_are_repeated_with_noise_of_their_own():
    model = retinotopic((1, 16, 16), normalisation="none")
    view = model.sample_views(images(2, (1, 16, 16)), generator=generator()).images[0]
    assert view.shape == (2, 3, 16, 16)
    assert not torch.equal(view[:, 0], view[:, 1])


def test_a_generator_and_given_centres_decide_the_views():
    model, x = retinotopic(), images()
    torch.manual_seed(3)
    untouched = torch.rand(3)
    torch.manual_seed(3)
    one, again, other = (
        model.sample_views(x, [(2, 3), (9.5, 9)], generator(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(3), untouched)
    assert torch.equal(one.images, again.images) and not torch.equal(one.images, other.images)
    assert one.centres == ((2, 3), (9.5, 9)) and one.images.shape[0] == 2


def test_batch_norm_sees_each_view_on_its_own_in_train_mode():
    model = retinotopic(backbone="preact_resnet18", num_views=5).train()
    model(images(2))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {int(norm.num_batches_tracked or 0) for norm in norms} == {5}


def test_train_and_eval_mode_agree_without_batch_norm():
    model, x = retinotopic(), images()
    views = model.sample_views(x)
    in_eval = model.outputs_of(views)
    in_train = model.train().outputs_of(views)
    torch.testing.assert_close(in_train.logits, in_eval.logits)


def test_one_view_looks_at_the_middle_and_shares_the_weights():
    model, x = retinotopic((3, 32, 32)), images(2, (3, 32, 32))
    one = model.inference("one_view")
    assert isinstance(one, RetinotopicClassifier)
    assert one.sample_views(x).centres == ((16, 16),)
    assert model.sample_views(x).centres[8] == (27, 27)
    assert one.classifier is model.classifier
    assert one.state_dict().keys() == model.state_dict().keys()
    copied = copy.deepcopy(one)
    assert copied.settings.num_views == 1


def test_inference_takes_its_own_views_samples_and_centres():
    model, x = retinotopic(), images(2)
    used = model.with_inference(num_views=12, num_samples=5, centres="random")
    assert len(used.sample_views(x).centres) == 12
    assert used.sampler.num_samples == 5 and model.sampler.num_samples == 3
    expected = model.inference("expected_gradient")
    assert isinstance(expected, RetinotopicClassifier)
    assert expected.sampler.gradient == "expected" and model.sampler.gradient == "native"
    assert model.training == used.training
    model.train()
    assert not used.sampler.training  # the twin keeps its own mode


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_views": 10}, "num_views must be <= 9 with fixed centres, got 10"),
        ({"version": "v1"}, "version belongs to the trained weights and cannot be changed"),
        ({"num_view": 3}, "unknown parameter 'num_view' (did you mean 'num_views'?)"),
    ],
)
def test_inference_that_cannot_be(changes, message):
    with pytest.raises(InputError) as error:
        retinotopic().with_inference(**changes)
    assert message in str(error.value)


def test_an_unknown_inference_is_named():
    with pytest.raises(InputError, match=r"unknown inference 'two_views'.*one_view"):
        retinotopic().inference("two_views")


def test_every_pass_draws_afresh_and_eot_averages():
    model, x = retinotopic(), images(8)
    assert not torch.equal(model(x), model(x))
    assert model.stochastic
    y = torch.zeros(8, dtype=torch.long)

    def spread(eot_samples: int) -> float:
        torch.manual_seed(0)
        twin = model.with_inference(pixel_gradient="expected")
        draws = [
            input_gradient(twin, x, lambda z: cross_entropy(z, y), eot_samples=eot_samples).gradient
            for _ in range(6)
        ]
        return float(torch.stack(draws).var(dim=0).mean())

    assert spread(8) < 0.3 * spread(1)


def test_bpda_passes_the_gradient_through_saturated_pixels():
    model = retinotopic(normalisation="none", weight=0.1, num_views=1)
    x = torch.full((2, 3, 16, 16), 0.5)  # far outside (-w, w): every sample is 1
    y = torch.tensor([0, 1])
    blind = model.inference("expected_gradient")
    assert not input_gradient(blind, x, lambda z: cross_entropy(z, y)).gradient.any()
    through = create_attack("bpda").twin(model)  # pyright: ignore[reportAttributeAccessIssue]
    assert input_gradient(through, x, lambda z: cross_entropy(z, y)).gradient.abs().sum() > 0


def test_an_evaluation_is_repeatable_for_a_seed():
    model, x = retinotopic(num_views=2), images(24)
    y = evaluate(model, x, torch.zeros(24, dtype=torch.long)).prediction
    attack = create_attack("pgd", norm="L2", epsilon=0.5, num_steps=2)
    reports = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        reports.append(evaluate(model, x, y, attack, batch_size=12))
    one, again = reports
    assert bool(one.distance.any())
    assert torch.equal(one.distance, again.distance)
    assert torch.equal(one.attacked_prediction, again.attacked_prediction)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24), (1, 28, 28), (3, 84, 84)], ids=str)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_any_size_fits_both_versions(shape, version):
    model = retinotopic(shape, version=version, num_views=2)
    with torch.no_grad():
        assert model(images(2, shape)).shape == (2, 5)


@pytest.mark.parametrize(
    ("backbone", "width", "depth"),
    [("preact_resnet18", 4, None), ("resnet18", 4, None), ("wide_resnet", 1, 34), ("vit", 24, 2)],
)
def test_every_backbone_fits(backbone, width, depth):
    model = retinotopic(backbone=backbone, backbone_width=width, backbone_depth=depth, num_views=1)
    with torch.no_grad():
        assert model(images(2)).isfinite().all()


def test_the_published_wide_network_stands_behind_the_sampler():
    model = retinotopic((3, 32, 32), backbone="wide_resnet", backbone_width=2, backbone_depth=34)
    alone = create_model("wide_resnet", (3, 32, 32), 5, {"depth": 34, "widen_factor": 2})
    assert num_weights(model.backbone) == num_weights(alone)


def num_weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_a_depth_that_the_backbone_cannot_have_is_refused():
    with pytest.raises(InputError, match="backbone_depth should be automatic for small_cnn"):
        retinotopic(backbone="small_cnn", backbone_depth=3)
    with pytest.raises(InputError, match="depth must be 6n"):
        retinotopic(backbone="wide_resnet", backbone_depth=33)


def test_the_colour_toys_pale_channels_are_the_same_to_the_sampler():
    """At w = 0.8 both 0.8 and 1 are always on: it is the step that erases the confounder."""
    assert on_probability(torch.tensor([0.8, 1.0, 0.0]), 0.8).tolist() == [1.0, 1.0, 0.5]
