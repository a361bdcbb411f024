"""PGD with equal settings by this engine and by other packages, where they are installed."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust_core.attacks.base import create_attack
from robust_core.engine import Engine, fastest_engine, use_engine

EPSILON, STEP_SIZE = 8 / 255, 2 / 255
REFERENCE, FLOAT32, BFLOAT16 = "reference", "float32", "bfloat16"
TORCHATTACKS, FOOLBOX = "torchattacks", "foolbox"

Contestant = Callable[[nn.Module, Tensor, Tensor, int], Tensor]  # model, x, y, steps -> x_adv


def contestants(
    device: torch.device, *, low_precision: bool | None = None
) -> dict[str, Contestant]:
    """Return PGD (Linf, 8/255, steps of 2/255, random start) by everybody that is here.

    Args:
        device: where the images are.
        low_precision: take part in compiled bfloat16, too; None: where the device is made for it.
    """
    if low_precision is None:
        low_precision = fastest_engine(device).precision == "bfloat16"
    found = {
        FLOAT32: _engine(Engine("float32")),
        REFERENCE: _engine(Engine("reference")),
    }
    if low_precision:
        found = {BFLOAT16: _engine(Engine("bfloat16", compiled="now")), **found}
    if is_installed("torchattacks"):
        found[TORCHATTACKS] = _torchattacks
    if is_installed("foolbox"):
        found[FOOLBOX] = _foolbox
    return found


def is_installed(package: str) -> bool:
    """Return whether `package` could be imported."""
    return importlib.util.find_spec(package) is not None


def _engine(engine: Engine) -> Contestant:
    def attack(model: nn.Module, x: Tensor, y: Tensor, num_steps: int) -> Tensor:
        pgd = create_attack("pgd", epsilon=EPSILON, step_size=STEP_SIZE, num_steps=num_steps)
        with use_engine(engine):
            return pgd(model, x, y)

    return attack


def _torchattacks(model: nn.Module, x: Tensor, y: Tensor, num_steps: int) -> Tensor:
    torchattacks = importlib.import_module("torchattacks")
    return torchattacks.PGD(model, EPSILON, STEP_SIZE, num_steps)(x, y)


def _foolbox(model: nn.Module, x: Tensor, y: Tensor, num_steps: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        foolbox = importlib.import_module("foolbox")
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP_SIZE, steps=num_steps)
    return attack.run(wrapped, x, y, epsilon=EPSILON)
