# pyright: reportPrivateImportUsage=false
"""The same attacks as an independent implementation, Foolbox 3.3.4, on shipped models.

Source: Rauber et al., "Foolbox Native", Journal of Open Source Software 5(53), 2020.
"""

import os
from functools import cache

import foolbox
import pytest
import torch
from torch import Tensor

import robust_core as rc
from robust_core.models.base import Classifier

pytestmark = pytest.mark.slow

LONG = bool(os.environ.get("ROBUST_LONG_TESTS"))  # the full tables: half an hour of one core
MODELS = ["digits-standard", "digits-pgd_at", "shapes-standard", "shapes-pgd_at"]
TOLERATED = 2 / 500  # images on which two implementations of PGD may differ
RADII = {  # at which some images stand and some fall
    ("digits-standard", "Linf"): 0.1,
    ("digits-pgd_at", "Linf"): 0.1,
    ("shapes-standard", "Linf"): 2 / 255,
    ("shapes-pgd_at", "Linf"): 16 / 255,
    ("digits-standard", "L2"): 1.5,
    ("digits-pgd_at", "L2"): 1.5,
    ("shapes-standard", "L2"): 0.25,
    ("shapes-pgd_at", "L2"): 2.0,
}


def amount(name: str, long: int, digits: int, shapes: int) -> int:
    """How many images: `long` in the full tables, else what fits the suite."""
    if LONG:
        return long
    return digits if name.startswith("digits") else shapes


@cache
def subject(name: str, num_images: int) -> tuple[Classifier, Tensor, Tensor]:
    """A shipped model and the first test images that it gets right; digits has 360 in all."""
    model, data = rc.load_model(name), rc.load_data(name.partition("-")[0])
    data = data.subset(slice(num_images + 20))
    with torch.no_grad():
        right = model(data.x).argmax(1) == data.y
    return model, data.x[right][:num_images], data.y[right][:num_images]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_pgd_breaks_the_same_images(name, norm):
    model, x, y = subject(name, amount(name, 500, 360, 60))
    epsilon = RADII[name, norm]
    ours = rc.create_attack(
        "pgd", norm=norm, epsilon=epsilon, step_size=epsilon / 4, num_steps=10, random_start=False
    )
    theirs = (foolbox.attacks.LinfPGD if norm == "Linf" else foolbox.attacks.L2PGD)(
        abs_stepsize=epsilon / 4, steps=10, random_start=False
    )
    fmodel = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    x_theirs, _, _ = theirs(fmodel, x, y, epsilons=epsilon)
    with torch.no_grad():
        standing = model(ours(model, x, y)).argmax(1) == y
        standing_theirs = model(x_theirs).argmax(1) == y
    assert (standing != standing_theirs).sum() <= max(1, round(TOLERATED * len(x)))
    assert 0 < standing.sum() < len(x)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_deepfool_finds_the_same_distances(name, norm):
    model, x, y = subject(name, amount(name, 500, 40, 10))
    ours = rc.create_attack("deepfool", norm=norm)
    theirs = (
        foolbox.attacks.LinfDeepFoolAttack if norm == "Linf" else foolbox.attacks.L2DeepFoolAttack
    )(steps=50, candidates=10)
    check_median_distance(model, x, y, ours, theirs)


@pytest.mark.parametrize("name", MODELS)
def test_carlini_wagner_finds_the_same_distances(name):
    if name.startswith("shapes") and not LONG:
        pytest.skip("a thousand passes of a residual network: set ROBUST_LONG_TESTS=1")
    model, x, y = subject(name, amount(name, 100, 10, 0))
    ours = rc.create_attack("cw", num_steps=100, num_binary_searches=5, learning_rate=0.05)
    theirs = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=5,
        steps=100,
        stepsize=0.05,
        initial_const=1e-3,
        abort_early=False,  # it looks at the batch's sum: a few images would end the search of all
    )
    check_median_distance(model, x, y, ours, theirs)


def check_median_distance(model, x, y, ours, theirs) -> None:
    fmodel = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    x_theirs, _, _ = theirs(fmodel, x, y, epsilons=None)
    x_ours = ours(model, x, y)
    with torch.no_grad():
        both = (model(x_ours).argmax(1) != y) & (model(x_theirs).argmax(1) != y)
    assert both.float().mean() > 0.9
    distance, reference = (
        ours.threat_model.distance(x_adv, x)[both].median().item() for x_adv in (x_ours, x_theirs)
    )
    assert distance == pytest.approx(reference, rel=0.02)
