"""AutoAttack and its members beside the authors' implementation, on shipped models.

Source: Croce and Hein, ICML 2020, arXiv:2003.01690, packaged as pyautoattack 0.2.0. The whole
ensemble is compared in the long tables (ROBUST_LONG_TESTS=1): minutes of one core for every case.
"""

import os
from typing import Any

import pytest
import torch
from pyautoattack.autoattack import AutoAttack
from torch import Tensor

import robust_core as rc
from robust_core.models.base import Classifier

pytestmark = pytest.mark.slow

LONG = bool(os.environ.get("ROBUST_LONG_TESTS"))
TOLERATED = 0.005  # of robust accuracy, by which ours may be the weaker one
CASES = [
    ("digits-standard", "Linf", 0.1),
    ("digits-standard", "L2", 1.0),
    ("digits-pgd_at", "Linf", 0.15),
]
MEMBERS: dict[str, tuple[str, dict[str, Any]]] = {
    "apgd-ce": ("apgd", {"loss": "cross_entropy", "num_steps": 30}),
    "apgd-t": ("apgd", {"loss": "targeted_dlr", "num_targets": 9, "num_steps": 10}),
    "fab-t": (
        "fab",
        {"targeted": True, "num_targets": 9, "num_steps": 10, "stop_at_epsilon": True},
    ),
    "square": ("square", {"num_queries": 200}),
}


def subject(name: str, num_images: int) -> tuple[Classifier, Tensor, Tensor]:
    model, data = rc.load_model(name), rc.load_data(name.partition("-")[0])
    return model, data.x[:num_images], data.y[:num_images]


def official(
    model: Classifier, x: Tensor, y: Tensor, norm: Any, epsilon: float, member: str | None = None
) -> Tensor:
    """Return where the authors' attack leaves an image standing, bool [N]."""
    attack = AutoAttack(model, norm=norm, eps=epsilon, device="cpu", seed=0)
    if member is not None:
        attack.attacks_to_run = [member]
        attack.apgd.n_iter, attack.apgd_targeted.n_iter = 30, 10
        attack.fab.n_iter, attack.square.n_queries = 10, 200
    x_adv, _ = attack.run_standard_evaluation(x, y, batch_size=len(x))
    assert x_adv.shape == x.shape
    with torch.no_grad():
        return model(x_adv).argmax(dim=1) == y


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize(("name", "norm", "epsilon"), CASES)
def test_every_member_is_as_strong_as_the_authors(name, norm, epsilon, member):
    model, x, y = subject(name, 24)
    attack, parameters = MEMBERS[member]
    ours = rc.create_attack(attack, norm=norm, epsilon=epsilon, **parameters)
    report = rc.evaluate(model, x, y, ours)
    stands = official(model, x, y, norm, epsilon, member)
    assert stands.any()
    assert not stands.all()
    # random starts, and for Square random squares, decide the few images at the edge
    edge = 4 if member == "square" else 1
    assert int(report.robust_correct.sum()) <= int(stands.sum()) + edge


@pytest.mark.skipif(not LONG, reason="ROBUST_LONG_TESTS is not set")
@pytest.mark.parametrize(("name", "norm", "epsilon"), CASES)
def test_the_ensemble_is_never_the_weaker_one(name, norm, epsilon):
    model, x, y = subject(name, 200)
    ours = rc.evaluate(
        model, x, y, rc.create_attack("autoattack", norm=norm, epsilon=epsilon), batch_size=len(x)
    )
    stands = official(model, x, y, norm, epsilon)
    assert ours.robust_accuracy <= float(stands.float().mean()) + TOLERATED
