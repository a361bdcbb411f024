"""PGD that leaves an image alone at its first adversarial iterate."""

import torch

from robust_core.attacks.base import AttackStep, create_attack
from robust_core.evaluation.evaluation import evaluate
from robust_core.losses import is_correct
from robust_core.threat_model import Norm
from tests.toys import LinearModel, middle_images

CHOICE = {"num_steps": 8, "epsilon": 0.05, "num_restarts": 2}


def subject(n=30):
    model, x = LinearModel((1, 8, 8)), middle_images(n, (1, 8, 8))
    return model, x, model(x).argmax(dim=1)


def test_it_is_never_weaker_and_takes_fewer_passes():
    model, x, y = subject()
    for norm, epsilon in ((Norm.LINF, 0.02), (Norm.L2, 0.2)):
        choice = {**CHOICE, "norm": norm, "epsilon": epsilon}
        whole = evaluate(model, x, y, create_attack("pgd", **choice))
        active = evaluate(model, x, y, create_attack("pgd", **choice, stop_when_fooled=True))
        assert 0 < whole.robust_accuracy < 1
        assert not (active.robust_correct & ~whole.robust_correct).any()
        assert active.backward_passes < 0.9 * whole.backward_passes


def test_a_standing_image_ends_where_it_would_without():
    model, x, y = subject()
    choice = {**CHOICE, "num_restarts": 1, "epsilon": 0.02}
    plain = create_attack("pgd", **choice)(model, x, y)
    active = create_attack("pgd", **choice, stop_when_fooled=True)(model, x, y)
    stands = is_correct(model(active), y)
    assert 0 < stands.sum() < len(x)
    assert torch.equal(active[stands], plain[stands])


def test_the_result_is_the_first_adversarial_iterate():
    model, x, y = subject(1)
    steps: list[AttackStep] = []
    attack = create_attack("pgd", num_steps=20, epsilon=0.3, stop_when_fooled=True)
    x_adv = attack(model, x, y, on_step=steps.append)
    fallen = [bool(~is_correct(step.logits, y)) for step in steps]
    assert fallen == [False] * (len(steps) - 1) + [True]
    assert len(steps) < 21
    assert torch.equal(steps[-1].x_adv, x_adv)
