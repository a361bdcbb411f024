"""CiiV's losses against sums written out, and its schedule against the released one."""

import pytest
import torch
from torch import Tensor

from robust_core.errors import InputError
from robust_core.losses import cross_entropy
from robust_core.methods.base import Batch, create_method
from robust_core.methods.ciiv import CiiV, consistency, linear_response, smooth_l1, squared_l2
from robust_core.models.base import create_model
from robust_core.models.retina.classifier import RetinotopicClassifier


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 6) -> Batch:
    x = torch.rand(n, 1, 8, 8, generator=generator())
    return Batch(x, torch.arange(n) % 4, torch.arange(n))


def network(**parameters) -> RetinotopicClassifier:
    values = {"backbone": "small_cnn", "backbone_width": 4, "num_views": 3, **parameters}
    model = create_model("retinotopic", (1, 8, 8), 4, values).train()
    assert isinstance(model, RetinotopicClassifier)
    return model


def ciiv(model: RetinotopicClassifier, epoch: int = 0, **parameters) -> CiiV:
    method = create_method("ciiv", parameters)
    assert isinstance(method, CiiV)
    method.attach(model)
    method.on_epoch_start(epoch, 110)
    return method


def some_features() -> tuple[Tensor, Tensor]:
    features = 3 * torch.randn(4, 5, 7, generator=generator(1))
    return features, torch.tensor([0.95, 0.94, 0.97, 0.9])


def huber(a: float, b: float) -> float:
    return 0.5 * (a - b) ** 2 if abs(a - b) < 1 else abs(a - b) - 0.5


@pytest.mark.parametrize("difference", [smooth_l1, squared_l2])
def test_linear_response_is_the_sum_written_out(difference):
    features, z = some_features()
    count, total = len(z), 0.0
    for k in range(count):
        others = [j for j in range(count) if j != k]
        mean_z = sum(float(z[j]) for j in others) / len(others)
        for i in range(features.shape[1]):
            for d in range(features.shape[2]):
                mean_f = sum(float(features[j, i, d]) for j in others) / len(others)
                a, b = float(features[k, i, d]) * mean_z, mean_f * float(z[k])
                total += huber(a, b) if difference is smooth_l1 else (a - b) ** 2
    expected = total / count / features.shape[1]
    assert float(linear_response(features, z, difference)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("difference", [smooth_l1, squared_l2])
def test_consistency_is_the_sum_written_out(difference):
    features, _ = some_features()
    mean, total = features.mean(dim=0), 0.0
    for view in features:
        for a, b in zip(view.flatten().tolist(), mean.flatten().tolist(), strict=True):
            total += huber(a, b) if difference is smooth_l1 else (a - b) ** 2
    expected = total / len(features) / features.shape[1]
    assert float(consistency(features, difference)) == pytest.approx(expected, rel=1e-5)


def test_a_linear_response_costs_nothing_and_an_equal_one_does():
    _, z = some_features()
    pattern = torch.randn(5, 7, generator=generator(2))
    in_proportion = pattern * z[:, None, None]
    equal = pattern.expand(4, 5, 7)
    assert float(linear_response(in_proportion, z, smooth_l1)) == pytest.approx(0.0, abs=1e-10)
    assert float(linear_response(equal, z, smooth_l1)) > 1e-4
    assert float(consistency(equal, smooth_l1)) == pytest.approx(0.0, abs=1e-10)
    assert float(consistency(in_proportion, smooth_l1)) > 1e-4


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_view_is_pulled_by_both_sides(version):
    features, z = some_features()
    features.requires_grad_(True)
    loss = (
        consistency(features, squared_l2)
        if version == "v1"
        else linear_response(features, z, squared_l2)
    )
    (gradient,) = torch.autograd.grad(loss, features)
    assert bool((gradient.abs().sum(dim=(1, 2)) > 0).all())
    if version == "v1":  # a common shift of all views changes nothing, unless the mean is detached
        torch.testing.assert_close(gradient.sum(dim=0), torch.zeros(5, 7), atol=1e-6, rtol=0.0)


@pytest.mark.parametrize(
    ("version", "regulariser"),
    [
        ("v2", "smooth_l1"),
        ("v2", "squared_l2"),
        ("v2", "none"),
        ("v1", "smooth_l1"),
        ("v1", "squared_l2"),
        ("v1", "neighbour"),
        ("v1", "none"),
    ],
)
def test_loss_is_cross_entropy_of_raw_logits_plus_the_weighted_regulariser(version, regulariser):
    model, images = network(version=version), batch()
    method = ciiv(model, regulariser=regulariser, weight=2.0)
    torch.manual_seed(0)
    output = method.training_loss(model, images)
    torch.manual_seed(0)
    seen = model.view_outputs(images.x)
    natural = torch.stack([cross_entropy(logits, images.y) for logits in seen.logits]).mean()
    difference = squared_l2 if regulariser == "squared_l2" else smooth_l1
    if regulariser == "none":
        penalty = torch.zeros(())
    elif regulariser == "neighbour":
        pairs = zip(seen.features[:-1], seen.features[1:], strict=True)
        penalty = torch.stack([smooth_l1(a, b).sum(dim=1).mean() for a, b in pairs]).mean()
    elif version == "v1":
        penalty = consistency(seen.features, difference)
    else:
        penalty = linear_response(seen.features, seen.keep_ratio, difference)
    torch.testing.assert_close(output.loss, natural + 2.0 * penalty)
    assert output.terms["cross_entropy"] == pytest.approx(natural.item())
    assert output.terms["disagreement"] == pytest.approx(penalty.item())
    assert (penalty > 0) == (regulariser != "none")


def test_the_weight_grows_as_released():
    method = ciiv(network())
    weights = []
    for epoch in range(110):
        method.on_epoch_start(epoch, 110)
        weights.append(method.current_weight)
    expected = [0.1] * 26 + [1.0] * 25 + [10.0] * 25 + [100.0] * 34
    assert weights == pytest.approx(expected)


def test_the_toy_grows_once_after_epoch_five():
    method = ciiv(network(), growth_interval=5, num_growths=1)
    weights = []
    for epoch in range(14):
        method.on_epoch_start(epoch, 7)
        weights.append(method.current_weight)
    assert weights == pytest.approx([0.1] * 6 + [1.0] * 8)


def test_mixup_mixes_images_and_the_loss_of_both_labels():
    model, images = network(), batch()
    method = ciiv(model, mixup=True, regulariser="none")
    torch.manual_seed(4)
    loss = method.training_loss(model, images).loss
    torch.manual_seed(4)
    share, order = float(torch.rand(())), torch.randperm(6)
    seen = model.view_outputs(share * images.x + (1 - share) * images.x[order])
    losses = [
        torch.stack([cross_entropy(logits, y) for logits in seen.logits]).mean()
        for y in (images.y, images.y[order])
    ]
    torch.testing.assert_close(loss, share * losses[0] + (1 - share) * losses[1])
    assert losses[0] != losses[1]


def test_on_top_of_adversarial_training_it_sees_attacked_images_of_one_view_in_eval_mode():
    model, images = network(backbone="preact_resnet18"), batch()
    method = ciiv(model, adversarial=True, epsilon=0.1, step_size=0.05, num_steps=3)
    seen: list[tuple[int, bool, Tensor]] = []
    sample_views = RetinotopicClassifier.sample_views

    def watch(self: RetinotopicClassifier, x: Tensor, *args, **kwargs):
        views = sample_views(self, x, *args, **kwargs)
        seen.append((len(views.centres), self.training, x.detach().clone()))
        assert all(module.training == self.training for module in self.backbone.modules())
        return views

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RetinotopicClassifier, "sample_views", watch)
        method.training_loss(model, images)
    assert [entry[:2] for entry in seen] == [(1, False)] * 3 + [(3, True)]
    assert torch.equal(seen[0][2], images.x)  # from the clean image
    moved = (seen[-1][2] - images.x).abs()
    assert 0.04 < float(moved.max()) <= 0.1 + 1e-6
    assert all(module.training for module in model.modules())


def test_bfloat16_autocast_leaves_the_regulariser_in_float32():
    model, images = network(), batch()
    method = ciiv(model, weight=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.view_outputs(images.x).features.dtype == torch.bfloat16
        output = method.training_loss(model, images)
    assert output.loss.dtype == torch.float32
    output.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        (
            create_model("small_cnn", (1, 8, 8), 4),
            {},
            "ciiv trains the model retinotopic (with a backbone of your choice), got small_cnn",
        ),
        (
            network(num_views=1),
            {},
            "ciiv compares views: num_views of the model must be >= 2, got 1",
        ),
        (
            network(),
            {"regulariser": "neighbour"},
            "the regulariser neighbour belongs to version v1 of the model, got v2",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(model, parameters, message):
    with pytest.raises(InputError) as error:
        create_method("ciiv", parameters).attach(model)
    assert str(error.value) == message
