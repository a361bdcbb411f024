"""Ready-made run configurations: one to watch now, one as published."""

import math
from pathlib import Path
from typing import Any, Literal, get_args

from robust_core.config.own_data import fitted, own_extent
from robust_core.config.run import RunConfig
from robust_core.data import DATA, data_source
from robust_core.methods.base import METHODS
from robust_core.methods.recipe import SGD, Departure, Option, Recipe
from robust_core.registry import unknown_name

Budget = Literal["quick", "paper"]
NO_OPTION = "none"

# grey images with a large epsilon, such as handwriting
QUICK_GREY: dict[str, Any] = {
    "model": {"name": "small_cnn"},
    "optimiser": {"name": "adam", "learning_rate": 4e-3, "weight_decay": 0.0},
    "schedule": {"name": "cyclic", "peak": 0.3},
    "epochs": 15,
    "batch_size": 64,
}
# 60,000 grey images; with longer steps nothing is learnt at MNIST's epsilon
LARGE_GREY = ("mnist", "fashion_mnist")
QUICK_LARGE_GREY: dict[str, Any] = {
    "optimiser": {**QUICK_GREY["optimiser"], "learning_rate": 1e-3},
    "epochs": 5,
}
# without batch norm nothing learns to resist on colour images in so few epochs
QUICK_COLOUR: dict[str, Any] = {
    "model": {"name": "preact_resnet18", "parameters": {"width": 8}},
    "optimiser": SGD,
    "schedule": {"name": "cyclic", "peak": 0.3},
    "batch_size": 128,
    "epochs": 4,
}
QUICK_EVALUATION = {"num_images": 300, "test_num_images": 360}
QUICK_COLOUR_EVALUATION = {"num_images": 200, "test_num_images": 200}  # a costlier network
FEW_IMAGES = {"num_images": 50, "test_num_images": 50}  # where an output takes many passes


def list_options(method: str) -> tuple[str, ...]:
    """Return what `preset` can add to a method, "none" first."""
    return (NO_OPTION, *_recipe(method).options)


def preset(data: str, method: str, budget: str = "quick", option: str = NO_OPTION) -> RunConfig:
    """Return a complete configuration for a data set and a method, to be used or changed.

    "quick" trains a small network for few epochs, meant for two cores and the embedded data sets,
    MNIST and Fashion-MNIST: it shows that training works rather than how far it gets. On a person's
    own data it takes at least 1,000 steps, with Adam below 5,000 images.
    "paper" is the published CIFAR-10 recipe (network, optimiser, schedule, epochs, batch size) of
    the method's source, which its class names together with what differs; methods without one take
    200 epochs of PreActResNet-18. Where the source departs from it on another data set, so does
    the preset; where nothing was published for a data set or with an option, the title says
    "nearest published recipe". All train on nine tenths of the published training images, because
    the rest serves as validation: an epoch has fewer steps, and `pgd_at`, published in steps, takes
    more epochs for them. Data sets with another standard epsilon than 8/255, such as handwriting,
    take that epsilon, steps of a quarter of it, and the small network unless a network is
    published.

    Args:
        data: a name that `load_data` takes.
        method: a name of `list_methods()`.
        budget: "quick" or "paper".
        option: one of `list_options(method)`: "awp" (adversarial weight perturbation, with a
            published recipe of its own) or "he" (hypersphere embedding, with that of the method;
            published for PGD-AT and TRADES).

    Raises:
        InputError: an unknown name.
    """
    if budget not in get_args(Budget):
        raise unknown_name("budget", budget, list(get_args(Budget)))
    if option not in list_options(method):
        raise unknown_name(f"option of {method}", option, list(list_options(method)))
    recipe = _recipe(method)
    added = recipe.options.get(option, Option({}))
    parameters = _method_parameters(data, method, budget)
    evaluation: dict[str, Any] = {}
    if budget == "quick":
        evaluation = _quick_evaluation(data, recipe)
        run, parameters = _quick_run(data, recipe, parameters)
    else:
        run = _paper_run(data, recipe, added)
    if recipe.best_by_clean:
        evaluation["best_by"] = "clean_accuracy"
    parameters |= _option_parameters(data, added, budget)
    network = recipe.network(run["model"], data, budget)
    if added.network:
        network = {**network, "parameters": network.get("parameters", {}) | added.network}
    method_name = method if option == NO_OPTION else f"{method} with {option}"
    values = {
        "title": f"{method_name} on {Path(data).name}, {_title(data, recipe, budget, option)}",
        "data": {"name": data},
        "method": {"name": method, "parameters": parameters},
        "model": network,
        "evaluation": evaluation,
    }
    return RunConfig.create({**run, **values})


def _recipe(method: str) -> Recipe:
    return METHODS.get(method).recipe


def _title(data: str, recipe: Recipe, budget: str, option: str) -> str:
    """Return the budget, or that nothing was published for just this."""
    if budget == "quick" or not recipe.published:
        return budget
    if option == NO_OPTION:
        published = data in recipe.published
    elif data == "cifar10":
        published = recipe.options[option].published
    else:
        published = data in recipe.options[option].elsewhere
    return budget if published else "nearest published recipe"


def _quick_run(
    data: str, recipe: Recipe, parameters: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a quick run, and the method's parameters as they fit the data."""
    run = dict(QUICK_GREY)
    if data in LARGE_GREY:
        run |= QUICK_LARGE_GREY
        run["epochs"] = recipe.quick.grey_epochs or run["epochs"]
    if _like_cifar(data):
        run |= QUICK_COLOUR
        run["epochs"] = recipe.quick.colour_epochs or run["epochs"]
    extent = own_extent(data)
    return (run, parameters) if extent is None else fitted(extent, run, parameters)


def _quick_evaluation(data: str, recipe: Recipe) -> dict[str, Any]:
    if recipe.many_passes:
        return dict(FEW_IMAGES)
    return dict(QUICK_COLOUR_EVALUATION if _like_cifar(data) else QUICK_EVALUATION)


def _paper_run(data: str, recipe: Recipe, added: Option) -> dict[str, Any]:
    """Return the fields of a run as published, or as near to that as there is."""
    here = recipe.elsewhere.get(data, Departure()).run
    run = {**recipe.run, **here, **added.run, **added.elsewhere.get(data, Departure()).run}
    if not _like_cifar(data) and "model" not in here:
        run["model"] = {"name": "small_cnn"}
    return run


def _option_parameters(data: str, added: Option, budget: str) -> dict[str, Any]:
    if budget == "quick" and added.quick_parameters is not None:
        return dict(added.quick_parameters)
    parameters = {**added.parameters, **added.elsewhere.get(data, Departure()).parameters}
    like_cifar = budget == "paper" and _like_cifar(data)
    return {**parameters, **(added.colour_parameters if like_cifar else {})}


def _like_cifar(data: str) -> bool:
    """Return whether the published CIFAR-10 values fit: the standard epsilon is 8/255."""
    return math.isclose(data_source(data).threat_model.epsilon, 8 / 255)


def _method_parameters(data: str, method: str, budget: str) -> dict[str, Any]:
    """Return the method's parameters in the data set's standard threat model."""
    fields, recipe = METHODS.get(method).Parameters.model_fields, _recipe(method)
    threat_model = data_source(data).threat_model
    values: dict[str, Any] = {}
    if "epsilon" in fields and not _like_cifar(data):
        values["epsilon"] = threat_model.epsilon
        if "num_steps" in fields:
            values["step_size"] = threat_model.epsilon / 4
    if budget == "paper":
        return {**values, **recipe.elsewhere.get(data, Departure()).parameters}
    values |= recipe.quick.parameters
    if data in LARGE_GREY or data not in DATA.names():
        values |= recipe.quick.gentle_parameters
    if "num_steps" in fields and recipe.quick.short_attack:
        few = {"num_steps": 2, "step_size": 0.625 * threat_model.epsilon}
        values |= few if _like_cifar(data) else {"num_steps": 5}
    if (_like_cifar(data) or data in LARGE_GREY) and "warmup_epochs" in fields:
        values["warmup_epochs"] = 2  # at full epsilon nothing is learnt for epochs
    return values
