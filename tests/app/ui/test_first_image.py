"""The pictures that pages show first are what they are chosen for, of all shipped models."""

from collections.abc import Iterator

import pytest
import torch

from app.ui import models
from app.ui.attack_controls import FIRST_ATTACK
from app.ui.first_image import FIRST_IMAGES, first_image
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info, load_model
from robust_core.data import load_data
from robust_core.gradients import predict_logits
from robust_core.paths import REPOSITORY
from tests.app.page_driver import open_view

pytestmark = pytest.mark.slow

PHOTOGRAPHS = "imagenet-efficientnet_lite0"
SHIPPED = [
    *sorted(path.stem for path in (REPOSITORY / "checkpoints/pretrained").glob("*.safetensors")),
    PHOTOGRAPHS,
]
STANDARD = (
    "digits-standard",
    "mnist-standard",
    "shapes-standard",
    "shapes-colour_standard",
    PHOTOGRAPHS,
)
REPEATS = 3  # of a random network


@pytest.fixture(autouse=True)
def shipped_folder(monkeypatch):
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(REPOSITORY / "checkpoints"))


def picture(info: CheckpointInfo) -> tuple[torch.Tensor, torch.Tensor]:
    images = load_data(info.config.data.name, "test", info.config.data.parameters)
    chosen = images.subset(images.index == first_image(info.config.data))
    assert len(chosen) == 1
    return chosen.x, chosen.y


def modes(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}:{other}" for other in checkpoint_info(name).inferences)


def is_fooled(name: str, seed: int) -> bool:
    info, model = checkpoint_info(name), load_model(name)
    threat_model, (x, y) = info.config.data_threat_model(), picture(info)
    attack = create_attack(
        FIRST_ATTACK, norm=threat_model.norm, epsilon=threat_model.epsilon, seed=seed
    )
    return bool(predict_logits(model, attack(model, x, y)).argmax(dim=1) != y)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_classifies_it_correctly_in_every_inference_mode(name):
    x, y = picture(checkpoint_info(name))
    for mode in modes(name):
        model = load_model(mode)
        for _ in range(REPEATS if model.stochastic else 1):
            assert torch.equal(predict_logits(model, x).argmax(dim=1), y)


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("seed", range(3))
def test_the_first_attack_fools_the_undefended_model(name, seed):
    assert is_fooled(name, seed)


def test_there_is_one_for_every_data_set_of_a_shipped_model():
    numbers = {first_image(checkpoint_info(name).config.data) for name in SHIPPED}
    assert numbers == set(FIRST_IMAGES.values())


@pytest.mark.parametrize("view", ["attack", "compare", "gradients", "retina"])
def test_pages_show_it_first(view):
    for name in STANDARD:
        page = open_view(view, {"model": name})
        data = checkpoint_info(name).config.data
        assert page.session_state[f"attack.image.{data.name}/test"] == first_image(data)


def test_a_model_that_misclassifies_it_gets_another_one(monkeypatch):
    info, images = checkpoint_info("digits-standard"), load_data("digits", "test")
    wrong = predict_logits(load_model(info.name), images.x).argmax(dim=1) != images.y
    monkeypatch.setattr(models, "first_image", lambda data: int(images.index[wrong][0]))
    assert models.first_correct(info) == int((~wrong).int().argmax())
