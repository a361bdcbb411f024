"""How a method says what it is trained with: the recipe of its source, and how a quick run differs.

All values are fields of a `RunConfig` or of the method's parameters; `config.presets` combines them
with what data set and budget ask for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]
Network = Callable[[dict[str, Any], str, str], dict[str, Any]]  # model, data set, budget -> model

SGD: Values = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
STEP: Values = {"name": "step", "milestones": [0.5, 0.75], "factor": 0.1}
UNCHANGED: Values = {"augment": False}
# of several papers; milestones are epochs from 0, so one less than in scripts that count from 1
WIDE_34: Values = {
    "model": {"name": "wide_resnet", "parameters": {"depth": 34, "widen_factor": 10}},
    "optimiser": {**SGD, "weight_decay": 2e-4},
}
WIDE_28: Values = {
    "model": {"name": "wide_resnet", "parameters": {"depth": 28, "widen_factor": 10}},
    "optimiser": {**SGD, "weight_decay": 2e-4},
    "schedule": {"name": "step", "milestones": [60, 90], "factor": 0.1},
}
OTHERWISE: Values = {
    "model": {"name": "preact_resnet18"},
    "optimiser": SGD,
    "schedule": STEP,
    "epochs": 200,
}


def any_network(model: dict[str, Any], data: str, budget: str) -> dict[str, Any]:
    """Return the network as it is: the method takes any."""
    return model


@dataclass(frozen=True)
class Departure:
    """Where a recipe differs: fields of the run, and parameters of the method."""

    run: Values = field(default_factory=dict)
    parameters: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """Something that a preset can add to a method.

    Attributes:
        parameters: of the method.
        run: where its own recipe departs from the method's.
        network: parameters of the network that it needs.
        published: whether it was published with this method, on CIFAR-10.
        elsewhere: where its recipe departs on other data sets, by their names.
        colour_parameters: of the method, where the standard epsilon is that of CIFAR-10.
        quick_parameters: of the method in a quick run, in place of all others; None: the same.
    """

    parameters: Values
    run: Values = field(default_factory=dict)
    network: Values = field(default_factory=dict)
    published: bool = False
    elsewhere: Mapping[str, Departure] = field(default_factory=dict)
    colour_parameters: Values = field(default_factory=dict)
    quick_parameters: Values | None = None


@dataclass(frozen=True)
class QuickRun:
    """Where a quick run of a method differs from the quick run of any.

    Attributes:
        parameters: of the method.
        gentle_parameters: besides, on MNIST, its like and a person's own data.
        grey_epochs: on MNIST and its like, for costlier steps; None: as any.
        colour_epochs: the same on colour images.
        short_attack: whether the attack of training gets fewer steps.
    """

    parameters: Values = field(default_factory=dict)
    gentle_parameters: Values = field(default_factory=dict)
    grey_epochs: int | None = None
    colour_epochs: int | None = None
    short_attack: bool = True


@dataclass(frozen=True)
class Recipe:
    """What a method is trained with.

    Attributes:
        run: its CIFAR-10 recipe: network, optimiser, schedule, epochs, batch size.
        published: data sets that it was published for; on others it is lent. Empty: nothing was.
        elsewhere: where it departs on other data sets, by their names.
        options: what a preset can add, by their names.
        quick: where its quick run departs.
        network: makes the network that the method needs, as like the given one as can be.
        best_by_clean: whether the best epoch is that of the highest clean accuracy: it sees clean
            images only, and under attack the least trained network could win.
        many_passes: whether an output takes so many that few images evaluate a quick run.
    """

    run: Values = field(default_factory=lambda: OTHERWISE)
    published: tuple[str, ...] = ("cifar10",)
    elsewhere: Mapping[str, Departure] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    quick: QuickRun = QuickRun()
    network: Network = any_network
    best_by_clean: bool = False
    many_passes: bool = False


QUICK_AWP_WARMUP = 2  # epochs of a quick run before the weights are perturbed, too
# hypersphere embedding, for every method with its parameters
EMBEDDING = Option({"hypersphere_embedding": True}, network={"head": "cosine", "head_bias": False})
