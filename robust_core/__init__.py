"""Training and attacking image classifiers, honestly.

The public interface; the names are loaded when they are first used, so that the command line
starts quickly:

    import robust_core as rc

    data = rc.load_data("digits", split="test")
    model = rc.load_model("digits-pgd_at")
    attack = rc.create_attack("pgd", norm="Linf", epsilon=0.1, num_steps=20, seed=0)
    x_adv = attack(model, data.x[:64], data.y[:64])
    report = rc.evaluate(model, data.x, data.y, attack)
    findings = rc.check_reliability(rc.ReliabilityCase(model, data.x[:64], data.y[:64], attack))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from robust_core.aliases import NAMES

if TYPE_CHECKING:
    from robust_core.attacks import create_attack, list_attacks
    from robust_core.checkpoints.catalog import checkpoint_info, list_checkpoints, load_model
    from robust_core.config.presets import preset
    from robust_core.config.run import RunConfig
    from robust_core.data import list_data, load_data
    from robust_core.errors import InputError
    from robust_core.evaluation import ReliabilityCase, check_reliability, evaluate
    from robust_core.importing.importer import import_model
    from robust_core.inference.scaled_logits import ScaledLogits
    from robust_core.inference.wrappers import AveragedPasses, with_substituted_backward
    from robust_core.methods import list_methods
    from robust_core.models.base import create_model, list_models
    from robust_core.models.wrapping import wrap_model
    from robust_core.training import train

_HOMES = {
    "AveragedPasses": "inference.wrappers",
    "InputError": "errors",
    "RunConfig": "config.run",
    "ScaledLogits": "inference.scaled_logits",
    "ReliabilityCase": "evaluation",
    "check_reliability": "evaluation",
    "checkpoint_info": "checkpoints.catalog",
    "create_attack": "attacks",
    "create_model": "models.base",
    "evaluate": "evaluation",
    "import_model": "importing.importer",
    "list_attacks": "attacks",
    "list_checkpoints": "checkpoints.catalog",
    "list_data": "data",
    "list_methods": "methods",
    "list_models": "models.base",
    "load_data": "data",
    "load_model": "checkpoints.catalog",
    "preset": "config.presets",
    "train": "training",
    "with_substituted_backward": "inference.wrappers",
    "wrap_model": "models.wrapping",
}
__all__ = [
    "AveragedPasses",
    "InputError",
    "ReliabilityCase",
    "RunConfig",
    "ScaledLogits",
    "check_reliability",
    "checkpoint_info",
    "create_attack",
    "create_model",
    "evaluate",
    "import_model",
    "list_attacks",
    "list_checkpoints",
    "list_data",
    "list_methods",
    "list_models",
    "load_data",
    "load_model",
    "preset",
    "train",
    "with_substituted_backward",
    "wrap_model",
]


def __getattr__(name: str) -> object:
    name = NAMES.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module 'robust_core' has no attribute {name!r}")
    return getattr(import_module(f"robust_core.{_HOMES[name]}"), name)
