"""Ready-made run configurations: one to watch now, one as published."""

import math
from pathlib import Path
from typing import Any, Literal, get_args

from robust_core.config.own_data import fitted, own_extent
from robust_core.config.run import RunConfig
from robust_core.data import DATA, data_source
from robust_core.methods.base import METHODS
from robust_core.models.retina.classifier import STATISTICS
from robust_core.registry import unknown_name

Budget = Literal["quick", "paper"]
NO_OPTION = "none"

SGD = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
STEP = {"name": "step", "milestones": [0.5, 0.75], "factor": 0.1}
UNCHANGED = {"augment": False}
WIDE_34: dict[str, Any] = {
    "model": {"name": "wide_resnet", "parameters": {"depth": 34, "widen_factor": 10}},
    "optimiser": {**SGD, "weight_decay": 2e-4},
}
WIDE_28: dict[str, Any] = {
    "model": {"name": "wide_resnet", "parameters": {"depth": 28, "widen_factor": 10}},
    "optimiser": {**SGD, "weight_decay": 2e-4},
    "schedule": {"name": "step", "milestones": [60, 90], "factor": 0.1},
}
# milestones are epochs from 0, so one less than in the scripts that count from 1
PAPERS: dict[str, dict[str, Any]] = {
    "atld": {**WIDE_28, "epochs": 400, "batch_size": 50},
    "ciiv": {
        "model": {"name": "preact_resnet18"},
        "schedule": {"name": "step", "milestones": [10, 100, 105], "factor": 0.1},
        "epochs": 110,
        "crop_border": "reflect",
    },
    "denoising": {  # our own: nothing is published
        "model": {"name": "denoiser"},
        "optimiser": {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
        "schedule": {"name": "cyclic", "peak": 0.3},
        "epochs": 200,
    },
    "fast_at": {
        "model": {"name": "preact_resnet18"},
        "optimiser": {**SGD, "learning_rate": 0.2},
        "schedule": {"name": "cyclic"},
        "epochs": 15,
    },
    "feature_scattering": {**WIDE_28, "epochs": 200, "batch_size": 60},
    "free_at": {
        "model": {"name": "preact_resnet18"},
        "optimiser": {**SGD, "learning_rate": 0.04},
        "schedule": {"name": "cyclic"},
        "epochs": 10,
    },
    "mart": {
        "model": {"name": "resnet18"},
        "optimiser": {**SGD, "learning_rate": 0.01, "weight_decay": 3.5e-3},
        "schedule": {"name": "step", "milestones": [74, 89, 99], "factor": 0.1},
        "epochs": 120,
    },
    "pag": {
        "model": {"name": "resnet18"},
        "optimiser": {**SGD, "learning_rate": 0.01, "weight_decay": 1e-4},
        "schedule": {"name": "step", "milestones": [49, 74, 99], "factor": 0.1},
        "epochs": 100,
        "batch_size": 64,
        "crop_border": "grey",
    },
    # published as 80,000 steps, here of 45,000 images: the last tenth of the file is validation
    "pgd_at": {**WIDE_34, "schedule": STEP, "epochs": 228},
    "spat": {
        "model": {
            "name": "wide_resnet",
            "parameters": {"depth": 34, "widen_factor": 10, "head": "cosine"},
        },
        "optimiser": {**SGD, "weight_decay": 2e-4},
        "schedule": {"name": "step", "milestones": [74, 89], "factor": 0.1},
        "epochs": 100,
    },
    "trades": {
        **WIDE_34,
        "schedule": {"name": "step", "milestones": [74, 89, 99], "factor": 0.1},
        "epochs": 76,
    },
}
# where a paper departs from its CIFAR-10 recipe
PAPERS_ELSEWHERE: dict[tuple[str, str], dict[str, Any]] = {
    ("atld", "svhn"): {"optimiser": {**WIDE_28["optimiser"], "learning_rate": 0.01}, **UNCHANGED},
    # version 1, the only one with MNIST; there a stem for large images, 32x32 pixels and crops
    ("ciiv", "mnist"): {
        "model": {
            "name": "retinotopic",
            "parameters": {
                **{"backbone": "resnet18", "version": "v1", "num_views": 20, "weight": 0.8},
                "normalisation": "none",  # it samples the pixels as they are
            },
        },
        "schedule": {"name": "step", "milestones": [25, 50, 75], "factor": 0.2},
        "epochs": 100,
        "crop_border": "black",
    },
    ("feature_scattering", "svhn"): UNCHANGED,
    # our own, after AWP's recipe of SVHN: nothing is published
    ("spat", "svhn"): {
        "optimiser": {**SGD, "learning_rate": 0.01, "weight_decay": 2e-4},
        **UNCHANGED,
    },
}
PAPER_PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    ("atld", "cifar100"): {"pairing_weight": 0.1},
    ("spat", "svhn"): {"step_size": 1 / 255},
}
# beside CIFAR-10; all other recipes are lent from there
PUBLISHED_ELSEWHERE = {
    *(("atld", "cifar100"), ("atld", "svhn")),
    *(("ciiv", "cifar100"), ("ciiv", "mnist")),  # version 2 the first, as on CIFAR-10
    ("feature_scattering", "svhn"),
}
NO_RECIPE = ("denoising", "gradient_norm", "standard")  # nothing to lend
# with hypersphere embedding; published for PGD-AT and TRADES
EMBEDDED = (*("fast_at", "feature_scattering", "free_at", "mart", "pgd_at", "standard", "trades"),)
# options of a method: their parameters, and where their own recipe departs from the method's
OPTIONS: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {
    ("pgd_at", "awp"): (
        {"awp_gamma": 0.01},
        {"model": {"name": "preact_resnet18"}, "optimiser": SGD, "epochs": 200},
    ),
    ("trades", "awp"): (
        {"awp_gamma": 0.005, "awp_warmup_epochs": 10},
        {"optimiser": SGD, "schedule": STEP, "epochs": 200},
    ),
    **{(method, "he"): ({"hypersphere_embedding": True}, {}) for method in EMBEDDED},
}
PUBLISHED_OPTIONS = {("pgd_at", "awp"), ("pgd_at", "he"), ("trades", "awp"), ("trades", "he")}
OPTIONS_ELSEWHERE: dict[tuple[str, str, str], tuple[dict[str, Any], dict[str, Any]]] = {
    ("pgd_at", "awp", "svhn"): (
        {"step_size": 1 / 255, "awp_warmup_epochs": 5},
        {"optimiser": {**SGD, "learning_rate": 0.01}, **UNCHANGED},
    ),
}
QUICK_AWP_WARMUP = 2
# grey images with a large radius, such as handwriting
QUICK_GREY: dict[str, Any] = {
    "model": {"name": "small_cnn"},
    "optimiser": {"name": "adam", "learning_rate": 4e-3, "weight_decay": 0.0},
    "schedule": {"name": "cyclic", "peak": 0.3},
    "epochs": 15,
    "batch_size": 64,
}
# 60,000 grey images; with longer steps nothing is learnt at the radius of MNIST
LARGE_GREY = ("mnist", "fashion_mnist")
QUICK_LARGE_GREY: dict[str, Any] = {
    "optimiser": {**QUICK_GREY["optimiser"], "learning_rate": 1e-3},
    "epochs": 5,
}
# with 1.5 MNIST and a person's own few images stayed at chance
QUICK_GENTLE_PARAMETERS = {"pag": {"weight": 0.1}}
QUICK_LARGE_GREY_EPOCHS = {"ciiv": 3, "denoising": 3}  # costlier steps
# without batch norm nothing learns to resist on colour images in so few epochs
QUICK_COLOUR: dict[str, Any] = {
    "model": {"name": "preact_resnet18", "parameters": {"width": 8}},
    "optimiser": SGD,
    "schedule": {"name": "cyclic", "peak": 0.3},
    "batch_size": 128,
    "epochs": 4,
}
QUICK_COLOUR_EPOCHS = {"ciiv": 1, "mart": 3, "pag": 2, "spat": 3, "trades": 3}  # costlier steps
QUICK_PARAMETERS: dict[str, dict[str, Any]] = {
    "atld": {"discriminator_blocks": 2, "discriminator_width": 2},
    "ciiv": {"growth_interval": 4},
    "denoising": {"smallest_noise": 0.5, "largest_noise": 4.0},  # around QUICK_NOISE
    "free_at": {"num_replays": 4},
    "pag": {"num_sampled_classes": 3},
}
QUICK_NOISE = {"noise": 2.0}  # at which a denoiser tells coarse images apart
QUICK_EVALUATION = {"num_images": 300, "test_num_images": 360}
OTHERWISE: dict[str, Any] = {
    "model": {"name": "preact_resnet18"},
    "optimiser": SGD,
    "schedule": STEP,
    "epochs": 200,
}
# many passes for one output, so few images judge them
FEW_IMAGES = {"num_images": 50, "test_num_images": 50}
MANY_PASSES = ("ciiv", "denoising")
# they see clean images only; by accuracy under attack the least trained network could win
BEST_BY_CLEAN = ("ciiv", "denoising", "standard")


def list_options(method: str) -> tuple[str, ...]:
    """Return what `preset` can add to a method, "none" first."""
    return (NO_OPTION, *(option for owner, option in OPTIONS if owner == method))


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
    more epochs for them. Data sets with another standard radius than 8/255, such as handwriting,
    take that radius, steps of a quarter of it, and the small network unless a network is published.

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
    values: dict[str, Any] = {
        "title": f"{_full_name(method, option)} on {Path(data).name}, "
        f"{_recipe_name(data, method, budget, option)}",
        "data": {"name": data},
        "method": {"name": method, "parameters": _method_parameters(data, method, budget)},
    }
    evaluation: dict[str, Any] = {}
    if method in BEST_BY_CLEAN:
        evaluation["best_by"] = "clean_accuracy"
    if budget == "quick":
        evaluation |= QUICK_EVALUATION
        values |= QUICK_GREY
        if data in LARGE_GREY:
            values |= QUICK_LARGE_GREY
            values["epochs"] = QUICK_LARGE_GREY_EPOCHS.get(method, QUICK_LARGE_GREY["epochs"])
        if _like_cifar(data):
            evaluation |= {"num_images": 200, "test_num_images": 200}  # a costlier network
            values |= QUICK_COLOUR
            values["epochs"] = QUICK_COLOUR_EPOCHS.get(method, QUICK_COLOUR["epochs"])
        extent = own_extent(data)
        if extent is not None:
            recipe, parameters = fitted(extent, values, values["method"]["parameters"])
            values |= recipe | {"method": {"name": method, "parameters": parameters}}
        if method in MANY_PASSES:
            evaluation |= FEW_IMAGES
    else:
        here = PAPERS_ELSEWHERE.get((method, data), {})
        values |= PAPERS.get(method, OTHERWISE) | here | _of_option(data, method, option)[1]
        if not _like_cifar(data) and "model" not in here:
            values["model"] = {"name": "small_cnn"}
    values["method"]["parameters"] |= _option_parameters(data, method, budget, option)
    values["model"] = _network(data, method, budget, option, values["model"])
    return RunConfig.create(values | {"evaluation": evaluation})


def _full_name(method: str, option: str) -> str:
    return method if option == NO_OPTION else f"{method} with {option}"


def _recipe_name(data: str, method: str, budget: str, option: str) -> str:
    """Return the budget, or that nothing was published for just this."""
    if budget == "quick" or method in NO_RECIPE:
        return budget
    if option == NO_OPTION:
        published = data == "cifar10" or (method, data) in PUBLISHED_ELSEWHERE
    elif data == "cifar10":
        published = (method, option) in PUBLISHED_OPTIONS
    else:
        published = (method, option, data) in OPTIONS_ELSEWHERE
    return budget if published else "nearest published recipe"


def _of_option(data: str, method: str, option: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of an option and what its recipe changes in the method's."""
    parameters, recipe = OPTIONS.get((method, option), ({}, {}))
    here = OPTIONS_ELSEWHERE.get((method, option, data), ({}, {}))
    return parameters | here[0], recipe | here[1]


def _option_parameters(data: str, method: str, budget: str, option: str) -> dict[str, Any]:
    parameters = _of_option(data, method, option)[0]
    if option == "awp" and budget == "quick":
        return {"awp_gamma": parameters["awp_gamma"], "awp_warmup_epochs": QUICK_AWP_WARMUP}
    if (method, option) == ("trades", "awp") and _like_cifar(data):
        return parameters | {"epsilon": 8 / 255, "step_size": 2 / 255}  # TRADES itself: .031
    return parameters


def _network(
    data: str, method: str, budget: str, option: str, model: dict[str, Any]
) -> dict[str, Any]:
    """Return the network that a method needs, as like `model` as can be."""
    parameters = model.get("parameters", {})
    if option == "he":
        return {**model, "parameters": {**parameters, "head": "cosine", "head_bias": False}}
    match method:
        case "ciiv" if model["name"] != "retinotopic":
            backbone = {"backbone": model["name"], "backbone_width": parameters.get("width")}
            norm = Path(data).name if Path(data).name in STATISTICS else "none"
            return {"name": "retinotopic", "parameters": {**backbone, "normalisation": norm}}
        case "spat":
            return {**model, "parameters": {**parameters, "head": "cosine"}}
        case "denoising":
            return {"name": "denoiser", "parameters": QUICK_NOISE if budget == "quick" else {}}
        case _:
            return model


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
        if "num_steps" in fields:
            values["step_size"] = threat_model.epsilon / 4
    if budget == "paper":
        return values | PAPER_PARAMETERS.get((method, data), {})
    values |= QUICK_PARAMETERS.get(method, {})
    if data in LARGE_GREY or data not in DATA.names():
        values |= QUICK_GENTLE_PARAMETERS.get(method, {})
    if "num_steps" in fields and method != "ciiv":  # CiiV attacks only if it is told to
        few = {"num_steps": 2, "step_size": 0.625 * threat_model.epsilon}
        values |= few if _like_cifar(data) else {"num_steps": 5}
    if (_like_cifar(data) or data in LARGE_GREY) and "warmup_epochs" in fields:
        values["warmup_epochs"] = 2  # at the full radius nothing is learnt for epochs
    return values
