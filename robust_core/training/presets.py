"""Ready-made run configurations: one to watch now, one as published."""

import math
from pathlib import Path
from typing import Any, Literal, get_args

from robust_core.data import data_source
from robust_core.methods.base import METHODS
from robust_core.registry import unknown_name
from robust_core.training.config import RunConfig

Budget = Literal["quick", "paper"]

SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
STEP = {"name": "step", "milestones": [0.5, 0.75], "factor": 0.1}
PAPERS: dict[str, dict[str, Any]] = {
    "pgd_at": {
        "model": {"name": "wide_resnet", "parameters": {"depth": 34, "widen_factor": 10}},
        "optimiser": {**SGD, "weight_decay": 2e-4},
        "schedule": STEP,
        "epochs": 205,
    },
    "trades": {
        "model": {"name": "wide_resnet", "parameters": {"depth": 34, "widen_factor": 10}},
        "optimiser": {**SGD, "weight_decay": 2e-4},
        "schedule": {"name": "step", "milestones": [75, 90, 100], "factor": 0.1},
        "epochs": 76,
    },
    "fast_at": {
        "model": {"name": "preact_resnet18"},
        "optimiser": {**SGD, "learning_rate": 0.2},
        "schedule": {"name": "cyclic"},
        "epochs": 15,
    },
}
# grey images with a large radius, such as handwriting
QUICK_GREY: dict[str, Any] = {
    "model": {"name": "small_cnn"},
    "optimiser": {"name": "adam", "learning_rate": 4e-3, "weight_decay": 0.0},
    "schedule": {"name": "cyclic", "peak": 0.3},
    "epochs": 15,
    "batch_size": 64,
}
# without batch norm nothing learns to resist on colour images in so few epochs
QUICK_COLOUR: dict[str, Any] = {
    "model": {"name": "preact_resnet18", "parameters": {"width": 8}},
    "optimiser": SGD,
    "schedule": {"name": "cyclic", "peak": 0.3},
    "batch_size": 128,
}
QUICK_COLOUR_EPOCHS = {"trades": 3}  # its steps cost half as much again
QUICK_EVALUATION = {"num_images": 300, "test_num_images": 360}
OTHERWISE: dict[str, Any] = {
    "model": {"name": "preact_resnet18"},
    "optimiser": SGD,
    "schedule": STEP,
    "epochs": 200,
}


def preset(data: str, method: str, budget: str = "quick") -> RunConfig:
    """Return a complete configuration for a data set and a method, to be used or changed.

    "quick" trains a small network in under two minutes on two cores on the embedded data sets, to
    show that training works rather than how far it gets.
    "paper" is the published CIFAR-10 recipe (network, optimiser, schedule, epochs): Madry et al.,
    ICLR 2018, arXiv:1706.06083 (80,000 steps of 128 images); TRADES, ICML 2019, arXiv:1901.08573;
    Fast-AT, ICLR 2020, arXiv:2001.03994; other methods take 200 epochs of PreActResNet-18. Data
    sets with another standard radius than 8/255, such as handwriting, take that radius, steps of a
    quarter of it, and the small network.

    Args:
        data: a name that `load_data` takes.
        method: a name of `list_methods()`.
        budget: "quick" or "paper".

    Raises:
        InputError: an unknown name.
    """
    if budget not in get_args(Budget):
        raise unknown_name("budget", budget, list(get_args(Budget)))
    values: dict[str, Any] = {
        "title": f"{method} on {Path(data).name}, {budget}",
        "data": {"name": data},
        "method": {"name": method, "parameters": _method_parameters(data, method, budget)},
    }
    if "epsilon" not in METHODS.get(method).Parameters.model_fields:  # it aims at clean images only
        values["evaluation"] = {"best_by": "clean_accuracy"}
    if budget == "quick":
        values["evaluation"] = {**values.get("evaluation", {}), **QUICK_EVALUATION}
        if not _like_cifar(data):
            return RunConfig.create({**values, **QUICK_GREY})
        values["evaluation"] |= {"num_images": 200, "test_num_images": 200}  # a costlier network
        values |= QUICK_COLOUR
        return RunConfig.create(values | {"epochs": QUICK_COLOUR_EPOCHS.get(method, 4)})
    values |= PAPERS.get(method, OTHERWISE)
    if not _like_cifar(data):
        values["model"] = {"name": "small_cnn"}
    return RunConfig.create(values)


def _like_cifar(data: str) -> bool:
    """Return whether the published CIFAR-10 values fit: the standard radius is 8/255."""
    return math.isclose(data_source(data).threat_model.epsilon, 8 / 255)


def _method_parameters(data: str, method: str, budget: str) -> dict[str, Any]:
    """Return the method's parameters in the data set's standard threat model."""
    fields = METHODS.get(method).Parameters.model_fields
    threat_model = data_source(data).threat_model
    values: dict[str, Any] = {}
    if "epsilon" in fields and not _like_cifar(data):
        values["epsilon"] = threat_model.epsilon
        if method != "fast_at" and "step_size" in fields:
            values["step_size"] = threat_model.epsilon / 4
    if budget == "quick" and "num_steps" in fields:
        few = {"num_steps": 2, "step_size": 0.625 * threat_model.epsilon}
        values |= few if _like_cifar(data) else {"num_steps": 5}
        if _like_cifar(data) and "warmup_epochs" in fields:
            values["warmup_epochs"] = 2  # at the full radius nothing is learnt for epochs
    return values
