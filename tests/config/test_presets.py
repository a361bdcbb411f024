"""Ready-made configurations against the recipes of the methods' papers and released code."""

import json
from typing import Any

import pytest
import torch

from robust_core.config.presets import list_options, preset
from robust_core.config.run import RunConfig
from robust_core.data import load_data
from robust_core.errors import InputError
from robust_core.methods import list_methods
from robust_core.methods.base import METHODS
from robust_core.training.schedules import learning_rate
from robust_core.training.state import create_state
from robust_core.training.step import TrainingStep

TRAINING_IMAGES = 45_000  # of the 50,000 of CIFAR-10, the rest is validation

PREACT = ("preact_resnet18", {"width": 64, "head": "linear"})
RESNET = ("resnet18", {"width": 64, "head": "linear"})
WRN_34 = ("wide_resnet", {"depth": 34, "widen_factor": 10, "head": "linear"})
WRN_28 = ("wide_resnet", {"depth": 28, "widen_factor": 10, "head": "linear"})
COSINE_WRN_34 = (
    "wide_resnet",
    {"depth": 34, "widen_factor": 10, "head": "cosine", "head_bias": True}
    | {"head_normalisation": "functional"},
)
VIEWS = (
    "retinotopic",
    {"backbone": "preact_resnet18", "backbone_width": None, "version": "v2", "weight": 0.9}
    | {"num_samples": 3, "offset": 10.0, "exponent": 0.3, "threshold": 0.9}
    | {"normalisation": "cifar10"},
)
PGD = {"norm": "Linf", "epsilon": 8 / 255, "num_steps": 10}
LABEL_FREE_STEP = {"norm": "Linf", "epsilon": 8 / 255, "label_smoothing": 0.5}
GAUSSIAN_START_PGD = {"norm": "Linf", "epsilon": 0.031, "step_size": 0.007, "num_steps": 10}
# epoch, counted from 1 -> learning rate
AT_75_90_100 = {1: 1.0, 74: 1.0, 75: 0.1, 89: 0.1, 90: 0.01}

# method: network, epochs, batch size, learning rate, weight decay, its factor by epoch, parameters
PUBLISHED: dict[str, tuple[Any, int, int, float, float, dict[int, float], dict[str, Any]]] = {
    "atld": (
        *(WRN_28, 400, 50, 0.1, 2e-4, {60: 1.0, 61: 0.1, 90: 0.1, 91: 0.01, 400: 0.01}),
        LABEL_FREE_STEP
        | {"pairing_weight": 0.5, "nat_branch": "live", "cls_in_attack": True}
        | {"discriminator_learning_rate": 1e-3, "discriminator_steps": 2}
        | {"discriminator_blocks": 4, "discriminator_width": 5},
    ),
    "ciiv": (
        *(VIEWS, 110, 128, 0.1, 5e-4),
        {10: 1.0, 11: 0.1, 100: 0.1, 101: 0.01, 105: 0.01, 106: 0.001, 110: 0.001},
        {"regulariser": "smooth_l1", "weight": 0.1, "growth": 10.0, "growth_interval": 25}
        | {"num_growths": 3, "mixup": False, "adversarial": False},
    ),
    "fast_at": (
        *(PREACT, 15, 128, 0.2, 5e-4, {1: 0.0, 4: 0.4, 12: 8 / 15, 15: 2 / 15}),
        {"norm": "Linf", "epsilon": 8 / 255, "step_size": None, "largest_drop": 0.2}
        | {"batch_norm": "train"},
    ),
    "feature_scattering": (
        *(WRN_28, 200, 60, 0.1, 2e-4, {60: 1.0, 61: 0.1, 90: 0.1, 91: 0.01, 200: 0.01}),
        LABEL_FREE_STEP,
    ),
    "free_at": (
        *(PREACT, 10, 128, 0.04, 5e-4, {1: 0.0, 6: 1.0, 10: 0.2}),
        {"norm": "Linf", "epsilon": 8 / 255, "num_replays": 8, "step_size": None},
    ),
    "mart": (
        *(RESNET, 120, 128, 0.01, 3.5e-3, AT_75_90_100 | {99: 0.01, 100: 0.001, 120: 0.001}),
        GAUSSIAN_START_PGD | {"beta": 5.0, "batch_norm": "eval"},
    ),
    "pag": (
        *(RESNET, 100, 64, 0.01, 1e-4),
        {1: 1.0, 49: 1.0, 50: 0.1, 74: 0.1, 75: 0.01, 99: 0.01, 100: 0.001},
        {"weight": 1.5, "num_sampled_classes": None, "true_class": True, "reduced_epochs": 0}
        | {"score": "log_probability", "adversarial_epsilon": 0.0},
    ),
    "pgd_at": (
        *(WRN_34, 228, 128, 0.1, 2e-4),
        {1: 1.0, 114: 1.0, 115: 0.1, 171: 0.1, 172: 0.01, 228: 0.01},
        PGD | {"awp_gamma": 0.0, "hypersphere_embedding": False},
    ),
    "spat": (
        *(COSINE_WRN_34, 100, 128, 0.1, 2e-4, AT_75_90_100 | {100: 0.01}),
        GAUSSIAN_START_PGD | {"scale": 8.0, "margin": 0.2, "offset": 0.2, "beta": 6.0},
    ),
    "trades": (
        *(WRN_34, 76, 128, 0.1, 2e-4, {1: 1.0, 74: 1.0, 75: 0.1, 76: 0.1}),
        GAUSSIAN_START_PGD | {"beta": 6.0, "batch_norm": "eval", "awp_gamma": 0.0},
    ),
}


COSINE_WITHOUT_BIAS = {"head": "cosine", "head_bias": False}
OPTION_PARAMETERS = {
    "awp": {"awp_gamma", "awp_warmup_epochs"},
    "he": {"hypersphere_embedding"},
}
EMBEDDED = ("fast_at", "feature_scattering", "free_at", "mart", "pgd_at", "standard", "trades")

# version 1 of CiiV, sheet of CiiV, sections 2.5 and 3
VIEWS_V1 = {"backbone": "resnet18", "version": "v1", "centres": None, "num_samples": 3}
MNIST_VIEWS = VIEWS_V1 | {"num_views": 20, "weight": 0.8}
FROM_25_ON = {25: 1.0, 26: 0.2, 50: 0.2, 51: 0.04, 75: 0.04, 76: 0.008, 100: 0.008}
WRN_28_STEPS = {60: 1.0, 61: 0.1, 90: 0.1, 91: 0.01}
# method and data set, where a recipe departs from the one of CIFAR-10: as above, and augmentation
ELSEWHERE: dict[tuple[str, str], tuple[Any, int, int, float, float, dict[int, float], Any, bool]]
ELSEWHERE = {
    ("atld", "cifar100"): (
        *(WRN_28, 400, 50, 0.1, 2e-4, WRN_28_STEPS, {"pairing_weight": 0.1}, True),
    ),
    ("atld", "svhn"): (
        *(WRN_28, 400, 50, 0.01, 2e-4, WRN_28_STEPS, {"pairing_weight": 0.5}, False),
    ),
    ("ciiv", "cifar100"): (
        *(("retinotopic", VIEWS[1] | {"normalisation": "cifar100", "num_views": 9}), 110, 128),
        *(0.1, 5e-4, PUBLISHED["ciiv"][5], PUBLISHED["ciiv"][6], True),
    ),
    ("ciiv", "mnist"): (
        *(("retinotopic", MNIST_VIEWS), 100, 128, 0.1, 5e-4, FROM_25_ON),
        *(PUBLISHED["ciiv"][6], True),
    ),
    ("feature_scattering", "svhn"): (
        *(WRN_28, 200, 60, 0.1, 2e-4, WRN_28_STEPS, LABEL_FREE_STEP, False),
    ),
    ("spat", "svhn"): (  # nothing is published: the sheet's safe default
        *(COSINE_WRN_34, 100, 128, 0.01, 2e-4, AT_75_90_100),
        *(PUBLISHED["spat"][6] | {"step_size": 1 / 255}, False),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_paper_presets_are_the_published_recipes_of_cifar10(name: str) -> None:
    network, epochs, batch_size, rate, decay, factors, parameters = PUBLISHED[name]
    config = preset("cifar10", name, "paper")
    assert config.model.name == network[0]
    assert config.model.parameters == config.model.parameters | network[1]
    assert config.method.parameters == config.method.parameters | parameters
    optimiser = config.optimiser
    assert (optimiser.name, optimiser.momentum, optimiser.weight_decay) == ("sgd", 0.9, decay)
    assert (optimiser.learning_rate, config.epochs, config.batch_size) == (rate, epochs, batch_size)
    assert config.augment
    assert config.crop_border == {"ciiv": "reflect", "pag": "grey"}.get(name, "black")
    for epoch, factor in factors.items():
        found = learning_rate(config.schedule, rate, epoch - 1, 1, epochs)
        assert found == pytest.approx(factor * rate, rel=1e-6), f"epoch {epoch}"


def test_all_attacks_of_the_paper_presets_start_at_the_full_radius() -> None:
    for name in PUBLISHED:
        assert preset("cifar10", name, "paper").method.parameters.get("warmup_epochs", 0) == 0


def test_pgd_at_takes_the_published_80000_steps() -> None:
    config = preset("cifar10", "pgd_at", "paper")
    steps_an_epoch = TRAINING_IMAGES / config.batch_size
    assert config.epochs * steps_an_epoch == pytest.approx(80_000, abs=steps_an_epoch)


@pytest.mark.parametrize(("name", "data"), ELSEWHERE)
def test_where_a_paper_departs_from_its_cifar10_recipe(name: str, data: str) -> None:
    network, epochs, batch_size, rate, decay, factors, parameters, augment = ELSEWHERE[name, data]
    config = preset(data, name, "paper")
    assert config.model.name == network[0]
    assert config.model.parameters == config.model.parameters | network[1]
    assert config.method.parameters == config.method.parameters | parameters
    assert (config.optimiser.learning_rate, config.optimiser.weight_decay) == (rate, decay)
    assert (config.augment, config.epochs, config.batch_size) == (augment, epochs, batch_size)
    for epoch, factor in factors.items():
        found = learning_rate(config.schedule, rate, epoch - 1, 1, epochs)
        assert found == pytest.approx(factor * rate, rel=1e-6), f"epoch {epoch}"


def test_crops_of_both_versions_of_ciiv() -> None:
    assert preset("cifar100", "ciiv", "paper").crop_border == "reflect"
    assert preset("mnist", "ciiv", "paper").crop_border == "black"


def test_no_recipe_is_lent_in_silence() -> None:
    """A title says "paper" only where the source has a recipe for the data set."""
    lent = "nearest published recipe"
    for method in list_methods():
        if method in ("denoising", "gradient_norm", "standard"):
            assert preset("digits", method, "paper").title == f"{method} on digits, paper"
            continue
        assert preset("cifar10", method, "paper").title == f"{method} on cifar10, paper"
        assert preset("digits", method, "paper").title == f"{method} on digits, {lent}"
        assert preset("digits", method).title == f"{method} on digits, quick"
    for method, data in ELSEWHERE:
        found = lent if method == "spat" else "paper"
        assert preset(data, method, "paper").title == f"{method} on {data}, {found}"
    assert preset("svhn", "trades", "paper").title == f"trades on svhn, {lent}"
    assert preset("svhn", "trades", "paper").augment
    for method in ("pgd_at", "trades"):
        title = preset("cifar10", method, "paper", "he").title
        assert title == f"{method} with he on cifar10, paper"
    assert preset("svhn", "pgd_at", "paper", "awp").title == "pgd_at with awp on svhn, paper"
    assert preset("svhn", "pgd_at", "paper", "he").title == f"pgd_at with he on svhn, {lent}"
    assert preset("cifar10", "mart", "paper", "he").title == f"mart with he on cifar10, {lent}"


def test_options_have_their_published_recipes() -> None:
    """AWP with its own, HE with that of the method: sheet of the baselines, section 3."""
    awp = preset("cifar10", "pgd_at", "paper", "awp")
    assert (awp.model.name, awp.epochs, awp.optimiser.weight_decay) == (
        "preact_resnet18",
        200,
        5e-4,
    )
    found = awp.method.parameters
    assert (found["awp_gamma"], found["awp_warmup_epochs"]) == (0.01, 0)
    assert found["epsilon"] == 8 / 255
    trades = preset("cifar10", "trades", "paper", "awp")
    assert (trades.model.name, trades.epochs) == ("wide_resnet", 200)
    assert trades.optimiser.weight_decay == 5e-4
    expected = {"epsilon": 8 / 255, "step_size": 2 / 255, "beta": 6.0}
    expected |= {"awp_gamma": 0.005, "awp_warmup_epochs": 10}
    assert trades.method.parameters == trades.method.parameters | expected
    for config in (awp, trades):
        for epoch, factor in {0: 1.0, 99: 1.0, 100: 0.1, 149: 0.1, 150: 0.01}.items():
            rate = learning_rate(config.schedule, 0.1, epoch, 1, 200)
            assert rate == pytest.approx(0.1 * factor, rel=1e-6)
    svhn = preset("svhn", "pgd_at", "paper", "awp")
    assert (svhn.augment, svhn.optimiser.learning_rate) == (False, 0.01)
    assert svhn.method.parameters["step_size"] == 1 / 255
    assert svhn.method.parameters["awp_warmup_epochs"] == 5
    for method in EMBEDDED:
        plain = preset("cifar10", method, "paper")
        embedded = preset("cifar10", method, "paper", "he")
        assert embedded.model.parameters == plain.model.parameters | COSINE_WITHOUT_BIAS
        changes = {"hypersphere_embedding": True, "he_scale": 15.0, "he_margin": 0.2}
        assert embedded.method.parameters == plain.method.parameters | changes
        assert (embedded.epochs, embedded.schedule) == (plain.epochs, plain.schedule)


def test_he_is_an_option_wherever_a_method_has_its_parameters() -> None:
    for name in list_methods():
        offers = "hypersphere_embedding" in METHODS.get(name).Parameters.model_fields
        assert offers == ("he" in list_options(name)) == (name in EMBEDDED), name


def test_an_option_that_a_method_has_not_is_refused() -> None:
    assert list_options("mart") == ("none", "he")
    with pytest.raises(InputError, match="unknown option of mart 'awp'; known: none, he"):
        preset("digits", "mart", "quick", "awp")
    with pytest.raises(InputError, match="unknown option of atld 'he'; known: none"):
        preset("digits", "atld", "quick", "he")


@pytest.mark.parametrize(
    ("method", "option"),
    [("pgd_at", "awp"), ("trades", "awp"), *((method, "he") for method in EMBEDDED)],
)
def test_quick_options_keep_the_quick_recipe(method, option) -> None:
    plain, config = preset("digits", method), preset("digits", method, "quick", option)
    assert config.title == f"{method} with {option} on digits, quick"
    assert (config.epochs, config.optimiser) == (plain.epochs, plain.optimiser)
    assert config.threat_model() == plain.threat_model()
    changed = {
        name
        for name, value in config.method.parameters.items()
        if plain.method.parameters[name] != value
    }
    assert changed == OPTION_PARAMETERS[option]


@pytest.mark.parametrize("budget", ["quick", "paper"])
@pytest.mark.parametrize("method", list_methods())
@pytest.mark.parametrize("data", ["digits", "shapes", "cifar10", "mnist"])
def test_presets_are_complete_and_in_the_standard_threat_model(data, method, budget) -> None:
    config = preset(data, method, budget)
    assert RunConfig.create(json.loads(config.to_json())) == config
    radius = {"digits": 0.1, "mnist": 0.3}.get(data)
    if radius is not None:
        assert config.threat_model().epsilon == radius


@pytest.mark.parametrize(
    ("method", "option"),
    [*((method, "none") for method in list_methods()), *((method, "he") for method in EMBEDDED)],
)
@pytest.mark.slow
def test_paper_presets_take_steps_on_digits(method, option) -> None:
    images = load_data("digits", "train").subset(slice(96))
    take_steps(preset("digits", method, "paper", option), images.x, images.y, 24)


@pytest.mark.slow
def test_the_published_recipe_of_ciiv_on_mnist_takes_steps() -> None:
    x = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    config = preset("mnist", "ciiv", "paper")
    narrow = config.model.model_copy(
        update={"parameters": config.model.parameters | {"backbone_width": 4}}
    )
    take_steps(config.model_copy(update={"model": narrow}), x, torch.arange(8), 4)


def take_steps(config: RunConfig, x: torch.Tensor, y: torch.Tensor, size: int) -> None:
    """Train for one pass over the images, of ten classes, in batches of `size`."""
    image_shape = (x.shape[1], x.shape[2], x.shape[3])
    state = create_state(config, image_shape, 10, torch.device("cpu"))
    state.method.prepare(x, y)
    step = TrainingStep(config, state, x, y)
    for number in range(len(x) // size):
        rate = learning_rate(config.schedule, config.optimiser.learning_rate, 40, 10, config.epochs)
        step(torch.arange(size) + size * number, rate, number)  # raises where the loss runs away
    assert state.is_finite()


@pytest.mark.parametrize("budget", ["quick", "paper"])
@pytest.mark.parametrize("data", ["digits", "mnist", "cifar10"])
def test_a_denoiser_classifies_at_a_noise_it_was_trained_with(data, budget) -> None:
    config = preset(data, "denoising", budget)
    trained = config.method.parameters
    noise = config.model.parameters["noise"]
    assert trained["smallest_noise"] <= noise <= trained["largest_noise"]


@pytest.mark.parametrize("method", list_methods())
@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_quick_presets_of_60000_grey_images_are_short_and_start_gently(data, method) -> None:
    config = preset(data, method)
    assert config.epochs == (3 if method in ("ciiv", "denoising") else 5)
    assert config.optimiser.learning_rate == 1e-3
    if method == "pag":  # 1.5 kept MNIST at chance for three epochs
        assert config.method.parameters["weight"] == 0.1
    if "warmup_epochs" in METHODS.get(method).Parameters.model_fields:
        assert config.method.parameters["warmup_epochs"] == 2


def test_unknown_budget() -> None:
    with pytest.raises(InputError, match="unknown budget 'huge'; known: quick, paper"):
        preset("digits", "trades", "huge")
