"""PGD with equal settings by this engine and by other packages, where they are installed."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from robust_core.acceleration.mode import Acceleration, use_acceleration
from robust_core.attacks.base import create_attack

EPSILON = 8 / 255
FASTEST, REFERENCE, FLOAT32, BFLOAT16 = "fastest", "reference", "float32", "bfloat16"
TORCHATTACKS, FOOLBOX, OFFICIAL = PEERS = "torchattacks", "foolbox", "pyautoattack"

Contestant = Callable[[nn.Module, Tensor, Tensor, int], Tensor]  # model, x, y, steps -> x_adv


def contestants(
    device: torch.device, *, compiled: bool = False, epsilon: float = EPSILON
) -> dict[str, Contestant]:
    """Return PGD (Linf, steps of epsilon / 4, random start) by everybody that is here.

    Args:
        device: where the images are.
        epsilon: of the threat model.
        compiled: take part in compiled bfloat16, too, which takes a minute or more at first.
    """
    found = {
        FASTEST: _engine(Acceleration("fastest"), epsilon),
        FLOAT32: _engine(Acceleration("float32"), epsilon),
        REFERENCE: _engine(Acceleration("reference"), epsilon),
    }
    if compiled:
        found = {BFLOAT16: _engine(Acceleration("bfloat16", compiled="now"), epsilon), **found}
    if is_installed("torchattacks"):
        found[TORCHATTACKS] = partial(_torchattacks, epsilon)
    if is_installed("foolbox"):
        found[FOOLBOX] = partial(_foolbox, epsilon)
    return found


def is_installed(package: str) -> bool:
    """Return whether `package` could be imported."""
    return importlib.util.find_spec(package) is not None


def _engine(engine: Acceleration, epsilon: float) -> Contestant:
    def attack(model: nn.Module, x: Tensor, y: Tensor, num_steps: int) -> Tensor:
        pgd = create_attack("pgd", epsilon=epsilon, step_size=epsilon / 4, num_steps=num_steps)
        with use_acceleration(engine):
            return pgd(model, x, y)

    return attack


def official_autoattack(model: nn.Module, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Return the images of the authors' AutoAttack, version standard, Linf (pyautoattack).

    torchattacks has an ensemble of that name with 10 steps for 100: nothing to compare with.
    The model must tell at least four classes: the targeted loss compares four logits.
    """
    package = importlib.import_module("pyautoattack")
    attack = package.AutoAttack(model, norm="Linf", eps=epsilon, device=x.device, seed=0)
    with torch.no_grad():
        others = model(x[:1]).shape[1] - 1
    for member in (attack.apgd_targeted, attack.fab):  # nine targets whatever the model knows
        member.n_target_classes = min(member.n_target_classes, others)
    x_adv, _ = attack.run_standard_evaluation(x, y, batch_size=len(x))
    return x_adv


def _torchattacks(epsilon: float, model: nn.Module, x: Tensor, y: Tensor, num_steps: int) -> Tensor:
    torchattacks = importlib.import_module("torchattacks")
    return torchattacks.PGD(model, epsilon, epsilon / 4, num_steps)(x, y)


def _foolbox(epsilon: float, model: nn.Module, x: Tensor, y: Tensor, num_steps: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        foolbox = importlib.import_module("foolbox")
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=epsilon / 4, steps=num_steps)
    return attack.run(wrapped, x, y, epsilon=epsilon)
