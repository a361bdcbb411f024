"""The shipped models are what their cards, recipes and table say."""

import pytest
import torch

import robust_core as rc
from robust_core import paths
from robust_core.checkpoints.table import markdown_table
from robust_core.config.run import RunConfig
from robust_core.data import ImageSet, data_source
from robust_core.gradients import predict_logits
from robust_core.losses import accuracy_count
from robust_core.methods import list_methods
from robust_core.paths import REPOSITORY

pytestmark = pytest.mark.slow

RECIPES = sorted((REPOSITORY / "checkpoints" / "recipes").glob("*.json"))
SHIPPED = [path.stem for path in RECIPES]
EPSILONS = {"digits": 0.1, "shapes": 8 / 255, "mnist": 0.3, "cifar10": 8 / 255}


@pytest.fixture(autouse=True)
def shipped_folder(monkeypatch):
    """What ships, the models whose weights are a package among it."""
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(REPOSITORY / "checkpoints"))
    monkeypatch.setattr(paths, "SHIPPED", REPOSITORY / "checkpoints")


def test_the_promised_models_are_there():
    methods = [*sorted(set(list_methods()) - {"denoising"}), "awp", "he", "masked"]
    promised = {f"{data}-{method}" for data in ("digits", "shapes") for method in methods}
    promised |= {"digits-denoiser", "digits-pag_sbg"}
    promised |= {"shapes-colour_standard", "shapes-colour_ciiv"}
    assert promised <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_checkpoint_was_made_by_its_recipe(name):
    recipe = RunConfig.from_json(REPOSITORY / "checkpoints" / "recipes" / f"{name}.json")
    assert rc.checkpoint_info(name).config == recipe


@pytest.mark.parametrize("name", SHIPPED)
def test_card_states_pgd_50_with_5_restarts_on_many_test_images(name):
    info = rc.checkpoint_info(name)
    card = info.card
    many_passes = info.config.model.name in ("retinotopic", "denoiser")  # for one output
    assert card.split == "test"
    fewest = 200 if name == "shapes-atld" else 360  # three inference modes of a residual network
    assert card.num_images >= (50 if many_passes else fewest)
    first = card.robust[0]
    told = first.attack.parameters
    assert first.attack.name == "pgd"
    assert (told["num_steps"], told["num_restarts"]) == (50, 5)
    assert told["epsilon"] == pytest.approx(EPSILONS[info.config.data.name])
    assert card.versions["torch"]


MISSING = {  # what a card is allowed not to have, and why
    "digits-denoiser": {"margin", "autoattack", "findings"},  # no defence, a source of targets
    "shapes-colour_ciiv": {"margin", "autoattack", "findings"},  # shows confounding
}


@pytest.mark.parametrize("name", SHIPPED)
def test_card_has_margin_attack_autoattack_and_findings(name):
    card, stochastic = rc.checkpoint_info(name).card, rc.load_model(name).stochastic
    plain = [result for result in card.robust if not result.attack.inference]
    attacks = [(one.attack.name, one.attack.parameters) for one in plain]
    found = {name for name, _ in attacks if name == "autoattack"}
    found |= {"margin" for name, told in attacks if name == "pgd" and told["loss"] == "margin"}
    found |= {"findings"} if any(len(one.findings) > 10 for one in card.robust) else set()
    assert {"margin", "autoattack", "findings"} - found == MISSING.get(name, set())
    versions = {told["version"] for name, told in attacks if name == "autoattack"}
    assert versions <= {"rand" if stochastic else "standard"}


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith("-atld")])
def test_test_time_defences_are_attacked_as_published_and_through_themselves(name):
    robust = rc.checkpoint_info(name).card.robust
    for inference in ("imt", "imt_plus"):
        rows = [one for one in robust if one.attack.inference == inference]
        published = [one.accuracy for one in rows if one.attack.surrogate == ":"]
        adaptive = [one.accuracy for one in rows if one.attack.surrogate is None]
        assert min(adaptive) < min(published)


def images_of(info) -> ImageSet:
    """Return the test images of a checkpoint, or skip where they are not on this machine."""
    data = info.config.data
    if not data_source(data.name).is_available():
        pytest.skip(f"{data.name} is not on this machine")
    return rc.load_data(data.name, "test", data.parameters)


@pytest.mark.parametrize("name", SHIPPED)
def test_clean_accuracy_of_the_card_is_measured_again(name):
    info, model = rc.checkpoint_info(name), rc.load_model(name)
    images = images_of(info)
    number = info.card.num_images
    stratified = info.card.sample == "stratified"
    data = images.sample(number) if stratified else images.subset(torch.arange(number))
    correct = sum(
        accuracy_count(predict_logits(model, x), y)
        for x, y in zip(data.x.split(500), data.y.split(500), strict=True)
    )
    tolerance = 4.5 if model.stochastic else 1.5  # its noise; one image of rounding
    assert abs(correct - info.card.clean_accuracy * len(data)) < tolerance


@pytest.mark.parametrize("name", SHIPPED)
def test_robust_accuracy_of_the_card_is_within_reach_of_a_short_attack(name):
    info, model = rc.checkpoint_info(name), rc.load_model(name)
    data = images_of(info)
    many_passes = info.config.model.name in ("retinotopic", "denoiser")  # for one output
    chosen = data.subset(torch.arange(20 if many_passes else 60))
    result = info.card.robust[0]
    epsilon = result.attack.parameters["epsilon"]
    attack = rc.create_attack("pgd", epsilon=epsilon, num_steps=7 if many_passes else 20)
    measured = rc.evaluate(model, chosen.x, chosen.y, attack).robust_accuracy
    tolerance = 0.25 if many_passes else 0.17  # few images, a weaker attack
    assert measured == pytest.approx(result.accuracy, abs=tolerance)


def test_the_robust_digits_models_keep_their_promise():
    for name in ("digits-pgd_at", "digits-trades"):
        card = rc.checkpoint_info(name).card
        assert card.clean_accuracy >= 0.95
        assert card.robust[0].accuracy >= 0.75
    assert rc.checkpoint_info("digits-standard").card.robust[0].accuracy < 0.5


def test_the_claims_stand_beside_what_settles_them():
    for name, inference in (("digits-atld", "imt"), ("digits-ciiv", "")):
        card = rc.checkpoint_info(name).card
        claim = card.reported
        assert claim.attack.role == "claim" and claim.attack.inference == inference
        assert claim.attack.transfers  # a transfer attack, as published
        assert card.lowest().accuracy < claim.accuracy


def test_every_other_use_of_a_shipped_network_loads():
    for name in SHIPPED:
        info = rc.checkpoint_info(name)
        x = torch.rand(2, *info.image_shape, generator=torch.Generator().manual_seed(0))
        for inference in info.inferences:
            assert rc.load_model(f"{name}:{inference}")(x).shape == (2, info.num_classes)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith("-masked")])
def test_the_masked_model_looks_robust_and_is_not(name):
    robust = rc.checkpoint_info(name).card.robust
    accuracy = {result.attack.name: result.accuracy for result in robust}
    assert accuracy["pgd"] > 0.8
    assert accuracy["bpda"] < 0.5
    assert accuracy["square"] < 0.5


def test_the_table_is_generated_from_the_cards():
    text = (REPOSITORY / "checkpoints" / "README.md").read_text(encoding="utf-8")
    assert markdown_table().strip() in text
