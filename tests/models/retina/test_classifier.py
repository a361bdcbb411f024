"""The network behind the sampler: decisions, inference, attacks, backbones."""

import copy

import pytest
import torch
from torch import Tensor, nn

from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.evaluation.evaluation import evaluate
from robust_core.gradients import input_gradient
from robust_core.losses import cross_entropy
from robust_core.models.base import Classifier, create_model
from robust_core.models.retina.classifier import (
    STATISTICS,
    RetinotopicClassifier,
    RetinotopicParameters,
)
from robust_core.models.retina.sampler import Density, RetinotopicSampler, choose_centres
from robust_core.models.small_cnn import SmallCNN, SmallCNNParameters
from tests.models.examples import generator, images, retinotopic, settled_model, small_model


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


@pytest.mark.slow
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
    through = create_attack("bpda").substituted(model)  # pyright: ignore[reportAttributeAccessIssue]
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


def around(name: str = "preact_resnet18", **parameters) -> tuple[Classifier, RetinotopicClassifier]:
    """A settled network with batch norm, and the sampler around it."""
    classifier = settled_model(name).float()
    values = {"normalisation": "shapes", **parameters}
    return classifier, RetinotopicClassifier.around(classifier, RetinotopicParameters(**values))


def test_a_sampler_goes_around_a_network_that_exists():
    """The decision is the mean over the sampler's views, each seen by the network itself."""
    (classifier, model), x = around(), images(3)
    torch.manual_seed(0)
    logits = model(x)
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in STATISTICS["shapes"])
    sampler = RetinotopicSampler("v2", 0.9, 3, "native", Density(10.0, 0.3, 0.9))
    torch.manual_seed(0)
    views = [
        sampler((x - mean) / deviation, centre)
        for centre in choose_centres("fixed", (16, 16), 1 / 6, 9)
    ]
    # (v + 1) / 2 is what the network's own normalisation turns into the view v
    expected = [classifier((v.view + 1) / 2) / (v.keep_ratio + 1e-9) for v in views]
    torch.testing.assert_close(logits, torch.stack(expected).mean(dim=0))
    assert {id(p) for p in model.parameters()} == {id(p) for p in classifier.parameters()}


def test_the_network_inside_stays_as_it_is():
    classifier = settled_model("small_cnn").float()
    x, before = images(3), settled_model("small_cnn").float()(images(3))
    model = RetinotopicClassifier.around(classifier)
    assert model.settings == RetinotopicParameters.create({})
    assert torch.equal(classifier(x), before)
    assert (model.training, classifier.training) == (False, False)
    assert (model.image_shape, model.num_classes) == (classifier.image_shape, 5)
    classifier.get_parameter("classifier.bias").data += torch.tensor([100.0, 0, 0, 0, 0])
    assert model(x).argmax(dim=1).tolist() == [0, 0, 0]
    assert RetinotopicClassifier.around(classifier.train()).training


def test_what_stands_around_a_network_is_a_retinotopic_model_like_another():
    _, model = around("small_cnn", num_views=2)
    assert model.inference("one_view").sample_views(images()).images.shape[0] == 1  # pyright: ignore
    attack = create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=2)
    y = torch.zeros(4, dtype=torch.long)
    assert (attack(model, images(), y) - images()).abs().max() > 0.05
    grey = RetinotopicClassifier.around(settled_model("small_cnn").float(), grey=True)
    assert grey.image_shape == (1, 16, 16)
    assert grey(images(2, (1, 16, 16))).shape == (2, 5)


def test_version_1_goes_around_a_network_for_six_channels():
    classifier = SmallCNN((6, 16, 16), 5, SmallCNNParameters(width=4)).eval()
    model = RetinotopicClassifier.around(classifier, RetinotopicParameters(version="v1"))
    torch.manual_seed(0)
    views = model.sample_views(images())
    assert views.images.shape == (15, 4, 6, 16, 16)
    torch.manual_seed(0)
    expected = torch.stack([classifier((view + 1) / 2) for view in views.images]).mean(dim=0)
    torch.testing.assert_close(model(images()), expected)


@pytest.mark.parametrize(
    ("classifier", "version", "message"),
    [
        (nn.Linear(3, 2), "v2", "must be a Classifier, got a Linear"),
        (
            small_model("small_cnn"),
            "v1",
            "take the 6 channels of a view of version v1, got a SmallC",
        ),
        (
            small_model("small_cnn", (1, 16, 16)),
            "v2",
            "must take the 3 channels of a view of version v2, got a SmallCNN for 1",
        ),
        (retinotopic(), "v2", "must be deterministic and have a gradient throughout, got a Ret"),
        (small_model("quantized_cnn"), "v2", "have a gradient throughout, got a QuantizedCNN"),
        (
            create_model("small_cnn", (3, 16, 16), 5, {"head": "cosine"}),
            "v2",
            'end in an affine layer called classifier (head "linear"), got a SmallCNN with another',
        ),
    ],
)
def test_networks_that_cannot_stand_behind_the_sampler(classifier, version, message):
    with pytest.raises(InputError) as error:
        RetinotopicClassifier.around(classifier, RetinotopicParameters(version=version))
    assert str(error.value).startswith("the network behind the sampler must ")
    assert message in str(error.value)
