import pytest
import torch

from robust_core.attacks.base import create_attack
from robust_core.evaluation.batch import watched
from robust_core.models.guard import attack_surrogates
from tests.toys import LinearModel, WithSurrogate, labels, middle_images


def test_every_pass_is_told_and_nothing_else_changes():
    model, x, passes = LinearModel(), middle_images(3), []
    other = watched(model, lambda: passes.append(1))
    assert torch.equal(other(x), model(x)) and len(passes) == 1
    attack = create_attack("pgd", epsilon=0.1, num_steps=4, seed=1)
    assert torch.equal(attack(other, x, labels(3)), attack(model, x, labels(3)))
    assert len(passes) > 4
    assert watched(model, None) is model


def test_a_pass_can_end_the_work():
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        watched(LinearModel(), stop)(middle_images(1))


def test_what_an_adaptive_attack_looks_at_is_watched_with_the_model():
    passes = []
    (surrogate,) = attack_surrogates(watched(WithSurrogate(), lambda: passes.append(1)))
    surrogate(middle_images(2))
    assert len(passes) == 1
