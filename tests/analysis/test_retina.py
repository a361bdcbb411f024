"""The views of a retinotopic sampler, and what a network predicts of exactly these views."""

from typing import Any

import pytest
import torch

from robust_core.analysis.retina import (
    RepeatedPasses,
    default_settings,
    repeated_passes,
    sampled_values,
    sampled_views,
)
from robust_core.models.base import create_model
from robust_core.models.retina.classifier import RetinotopicClassifier, RetinotopicParameters
from robust_core.models.retina.sampler import expected_view, without_mean

SAMPLER = {"backbone": "small_cnn", "backbone_width": 4, "normalisation": "digits", "num_views": 4}


def image(channels: int = 1) -> torch.Tensor:
    return torch.rand(channels, 32, 32, generator=torch.Generator().manual_seed(1))


def network(channels: int = 1, **more: Any) -> RetinotopicClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model("retinotopic", (channels, 32, 32), 10, SAMPLER | more)
    assert isinstance(model, RetinotopicClassifier)
    return model.eval()


def test_the_views_are_those_the_network_predicts_from():
    x, model = image(), network()
    shown = sampled_views(x, model.settings, None, seed=3)
    with torch.no_grad():
        views = model.sample_views(x[None], generator=torch.Generator().manual_seed(3))
        expected = model.outputs_of(views).logits[:, 0].softmax(dim=1)
    for one, seen, centre in zip(shown, views.images, views.centres, strict=True):
        torch.testing.assert_close(one.image, seen[0])
        assert one.centre == centre
    found = repeated_passes(model, x, model.settings, None, seed=3, num_passes=2)
    torch.testing.assert_close(found.views[0], expected)
    assert not torch.equal(found.views[0], found.views[1])
    torch.testing.assert_close(found.decision.sum(dim=1), torch.ones(2))


def test_the_views_of_version_1_are_shown_by_their_on_channels():
    x, model = image(3), network(3, version="v1", centres="random", num_views=12)
    views = model.sample_views(x[None], generator=torch.Generator().manual_seed(4))
    shown = sampled_views(x, model.settings, None, seed=4)
    assert tuple(one.centre for one in shown) == views.centres
    for one, seen in zip(shown, views.images, strict=True):
        torch.testing.assert_close(without_mean(one.image[None])[0], seen[0, :3])


def test_many_samples_come_close_to_the_expected_view():
    x = image()
    settings = RetinotopicParameters.create({"normalisation": "digits", "num_samples": 100})
    (view,) = sampled_views(x, settings, (5, 16), seed=0)
    expected = expected_view(
        sampled_values(x, settings)[None], (5, 16), settings.weight, settings.density
    )
    assert (view.image - expected[0]).abs().mean() < 0.05


def test_a_view_is_the_mean_of_its_masked_samples_and_follows_its_seed():
    settings = default_settings("digits")
    (one,), (again,), (other,) = (
        sampled_views(image(), settings, (5, 16), seed) for seed in (0, 0, 1)
    )
    torch.testing.assert_close(one.image, (one.binary * one.masks[:, None]).mean(dim=0))
    assert one.keep_ratio == float(one.masks.float().mean())
    assert torch.equal(one.image, again.image) and not torch.equal(one.image, other.image)


def test_a_single_view_at_a_fixation_gives_one_prediction_a_pass():
    x, model = image(), network()
    found = repeated_passes(model, x, model.settings, (3, 30), seed=0, num_passes=3)
    assert found.views.shape == (3, 1, 10) and found.decision.shape == (3, 10)


def test_settings_that_no_weight_depends_on_may_differ():
    x, model = image(), network()
    other = model.settings.create({**model.settings.model_dump(), "weight": 0.3})
    one, changed = (repeated_passes(model, x, each, None, 0) for each in (model.settings, other))
    assert not torch.equal(one.views, changed.views)
    assert model.settings.weight != 0.3, "the network is left as it is"


def test_disagreement_is_the_share_beside_the_majority():
    decision = torch.eye(3)[[0, 0, 0, 1]]
    assert RepeatedPasses(decision[:, None], decision).disagreement == 0.25
    assert RepeatedPasses(decision[:3, None], decision[:3]).disagreement == 0.0


@pytest.mark.parametrize(("data", "expected"), [("digits", "digits"), ("my own", "none")])
def test_an_unknown_data_set_is_not_normalised(data, expected):
    settings = default_settings(data)
    assert settings.normalisation == expected and settings.version == "v2"
