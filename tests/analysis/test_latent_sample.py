"""A sample in every role: each against what the pieces give by themselves."""

import numpy as np
import pytest
import torch

from robust_core.analysis.latent import latent_outputs, natural_scores
from robust_core.analysis.latent_distances import class_distances
from robust_core.analysis.latent_sample import (
    BaseNetwork,
    image_path,
    latent_sample,
    lay_out,
    without_target,
)
from robust_core.attacks.base import create_attack
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.methods.base import create_method
from tests.analysis.transformed import base_network, images, trained_pair

ATTACK = create_attack("pgd", epsilon=0.05, num_steps=3, seed=1)


def test_another_method_has_no_discriminator_and_nothing_is_transformed():
    network, _ = trained_pair()
    base = BaseNetwork.of(network, create_method("standard", {}))
    assert base.discriminator is None and base.transform(images().x) is None
    sample = latent_sample(base, network, images(), ATTACK)
    assert list(sample.pictures) == ["clean", "noisy", "adversarial"] and not sample.scores


def test_every_role_is_what_its_name_says():
    base, chosen = base_network(), images()
    assert base.transformation is not None and base.discriminator is not None
    sample = latent_sample(base, base.network, chosen, ATTACK)
    x_adv = ATTACK(base.network, chosen.x, chosen.y)
    assert torch.equal(sample.pictures["adversarial"], x_adv)
    assert torch.equal(sample.pictures["transformed"], base.transformation.transform(x_adv))
    noise = sample.pictures["noisy"] - chosen.x
    assert 0 < float(noise.abs().max()) <= 0.05 + 1e-6
    for role, x in sample.pictures.items():
        features, logits = latent_outputs(base.network, x)
        torch.testing.assert_close(sample.features[role], features)
        assert torch.equal(sample.predictions[role], predict_logits(base.network, x).argmax(dim=1))
        expected = natural_scores(base.discriminator, logits)
        torch.testing.assert_close(sample.scores[role], expected)
    assert sample.accuracy("clean") == 18 / 20


def test_the_attacked_mode_may_be_another_than_the_one_that_is_looked_at():
    base, chosen = base_network(), images()
    assert base.transformation is not None
    through = latent_sample(base, base.transformation, chosen, ATTACK)
    itself = latent_sample(base, base.network, chosen, ATTACK)
    assert not torch.equal(through.pictures["adversarial"], itself.pictures["adversarial"])
    assert torch.equal(through.features["clean"], itself.features["clean"])
    assert torch.equal(through.pictures["noisy"], itself.pictures["noisy"]), "noise from the seed"


def test_each_role_goes_through_the_network_once(monkeypatch):
    base, chosen = BaseNetwork(base_network().network), images()
    attack, passed = create_attack("random_search", epsilon=0.0, num_queries=1), []
    features = base.network.features
    monkeypatch.setattr(base.network, "features", lambda x: passed.append(len(x)) or features(x))
    attack(base.network, chosen.x, chosen.y)
    attacking = len(passed)
    latent_sample(base, base.network, chosen, attack)
    assert passed[2 * attacking :] == [len(chosen)] * 3, "clean, noisy and adversarial"


def test_distances_are_those_of_the_features():
    base = base_network()
    sample = latent_sample(base, base.network, images(), ATTACK)
    clean, moved = sample.features["clean"], sample.features["adversarial"]
    assert sample.distances("adversarial") == class_distances(clean, moved, sample.images.y)
    assert sample.distances("clean")[0].drift == 0.0
    layers = sample.layer_distances(base.network, "adversarial", 6)
    assert layers[0].rows[0].num_images == 6
    points = sample.accuracy_along(base.network, num_steps=2)
    assert [point.position for point in points] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert points[0].accuracy == sample.accuracy("clean")
    assert points[2].accuracy == sample.accuracy("adversarial")
    assert points[4].accuracy == sample.accuracy("transformed")


def test_a_target_leaves_its_own_images_out_and_two_have_to_remain():
    chosen = images()
    assert without_target(chosen, None) is chosen
    label = int(chosen.y[5])
    other = int((chosen.y != label).nonzero()[0])
    mixed = chosen.subset([5, other, other])
    assert without_target(mixed, label).y.tolist() == [int(chosen.y[other])] * 2
    with pytest.raises(InputError, match=r"at least 2 test images besides those of [abc], got 0"):
        without_target(chosen.subset([5]), label)
    with pytest.raises(InputError, match="at least 2 test images, got 1"):
        without_target(chosen.subset([5]), None)


def test_the_way_of_an_image_ends_transformed():
    base, x = base_network(), images().x
    path = image_path(base, [x[0], x[1], x[2]])
    assert path.num_iterates == 3 and len(path.features) == 4
    torch.testing.assert_close(path.features[:3], latent_outputs(base.network, x[:3])[0])
    end = base.transform(x[2:3])
    assert end is not None
    torch.testing.assert_close(path.features[3:], latent_outputs(base.network, end)[0])


def test_a_layout_puts_equal_features_at_equal_places():
    base, chosen = base_network(), images()
    sample = latent_sample(base, base.network, chosen, ATTACK)
    path = image_path(base, [chosen.x[4], sample.pictures["adversarial"][4]])
    layout = lay_out(sample, path, "pca", num_dimensions=2, seed=0)
    assert list(layout.places) == ["clean", "noisy", "adversarial", "transformed"]
    for role, number in (("clean", 0), ("adversarial", 1), ("transformed", 2)):
        assert np.allclose(layout.path[number], layout.places[role][4], atol=1e-4)
    assert layout.explained is not None and layout.explained.sum() <= 1 + 1e-6


def test_every_pass_is_told_and_can_end_the_work():
    base, passes = base_network(), []
    latent_sample(base, base.network, images(), ATTACK, on_pass=lambda: passes.append(1))
    assert len(passes) >= 3

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        latent_sample(base, base.network, images(), ATTACK, on_pass=stop)
