"""The pictures that pages show first are what they are chosen for, of all shipped models."""

from collections.abc import Iterator

import pytest
import torch

from app.ui import cached
from app.ui.attack_controls import FIRST_ATTACK
from app.ui.first_image import FIRST_IMAGES, first_image
from robust_core.attacks.base import create_attack
from robust_core.checkpoints.catalog import CheckpointInfo, checkpoint_info, load_model
from robust_core.data import load_data
from robust_core.gradients import predict_logits
from robust_core.paths import REPOSITORY
from tests.app.page_driver import open_view

SHIPPED = sorted(
    path.stem for path in (REPOSITORY / "checkpoints/pretrained").glob("*.safetensors")
)
STANDARD = ("digits-standard", "shapes-standard", "shapes-colour_standard")
REPEATS = 3  # of a random network


@pytest.fixture(autouse=True)
def shipped_folder(monkeypatch):
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(REPOSITORY / "checkpoints"))


def picture(info: CheckpointInfo) -> tuple[torch.Tensor, torch.Tensor]:
    images = load_data(info.config.data.name, "test", info.config.data.parameters)
    chosen = images.subset(images.index == first_image(info.config.data))
    assert len(chosen) == 1
    return chosen.x, chosen.y


def uses(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}:{other}" for other in checkpoint_info(name).inferences)


def loses(name: str, seed: int) -> bool:
    info, model = checkpoint_info(name), load_model(name)
    ball, (x, y) = info.config.data_threat_model(), picture(info)
    attack = create_attack(FIRST_ATTACK, norm=ball.norm, epsilon=ball.epsilon, seed=seed)
    return bool(predict_logits(model, attack(model, x, y)).argmax(dim=1) != y)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_reads_it_right_in_every_way_it_can_be_used(name):
    x, y = picture(checkpoint_info(name))
    for use in uses(name):
        model = load_model(use)
        for _ in range(REPEATS if model.stochastic else 1):
            assert torch.equal(predict_logits(model, x).argmax(dim=1), y)


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("seed", range(3))
def test_the_undefended_model_loses_it_under_the_first_attack(name, seed):
    assert loses(name, seed)


def test_there_is_one_for_every_data_set_of_a_shipped_model():
    numbers = {first_image(checkpoint_info(name).config.data) for name in SHIPPED}
    assert numbers == set(FIRST_IMAGES.values())


@pytest.mark.parametrize("view", ["attack", "compare", "gradients", "retina"])
def test_pages_show_it_first(view):
    for name in STANDARD:
        page = open_view(view, {"model": name})
        data = checkpoint_info(name).config.data
        assert page.session_state[f"attack.image.{data.name}/test"] == first_image(data)


def test_a_model_that_is_wrong_about_it_gets_one_that_it_reads(monkeypatch):
    info, images = checkpoint_info("digits-standard"), load_data("digits", "test")
    wrong = predict_logits(load_model(info.name), images.x).argmax(dim=1) != images.y
    monkeypatch.setattr(cached, "first_image", lambda data: int(images.index[wrong][0]))
    assert cached.first_right(info) == int((~wrong).int().argmax())
