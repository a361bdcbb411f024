"""The quick preset on a person's own data."""

import logging

import numpy as np
import pytest

from robust_core.checkpoints.catalog import checkpoint_info
from robust_core.config.own_data import LEAST_STEPS, fitted, own_extent
from robust_core.config.presets import QUICK_COLOUR, preset
from robust_core.config.run import RunConfig
from robust_core.data.base import Extent
from robust_core.errors import InputError
from robust_core.methods import list_methods
from robust_core.training.trainer import train
from tests.data.own_sets import write_folder, write_npz


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """Two sets as people bring them: pictures of 64x64 in 3 folders, 600 grey ones in an npz."""
    monkeypatch.setenv("ROBUST_DATA", str(tmp_path / "data"))
    write_folder(tmp_path / "data" / "things", num_each=10)
    write_npz(tmp_path / "data" / "grey.npz", side=12)
    return tmp_path / "data"


def num_steps(config: RunConfig, num_images: int) -> int:
    replays = config.method.parameters.get("num_replays", 1)
    return config.epochs * max(num_images // config.batch_size, 1) * replays


def test_the_extent_of_own_data_is_what_a_run_trains_on() -> None:
    assert own_extent("digits") is None
    assert own_extent("things") == (22, 3)
    assert own_extent("grey") == (432, 5)


@pytest.mark.parametrize("method", list_methods())
@pytest.mark.parametrize(("name", "num_images"), [("things", 22), ("grey", 432)])
def test_a_quick_run_on_few_images_takes_1000_steps_with_adam(name, num_images, method) -> None:
    config = preset(name, method)
    assert config.optimiser.name == "adam"
    assert LEAST_STEPS <= num_steps(config, num_images) < 1.2 * LEAST_STEPS
    assert not config.warnings()
    assert config.method.parameters.get("warmup_epochs", 0) <= config.epochs / 5
    assert config.method.parameters.get("num_sampled_classes") in (None, 3)
    if method == "pag":  # 1.5 stayed at chance
        assert config.method.parameters["weight"] == 0.1
    assert RunConfig.create(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("num_images", "name", "epochs"),
    [
        (4999, "adam", 7),
        (5000, "sgd", 26),
        (32_000, "sgd", 4),
        (10**6, "sgd", 4),
        (3, "adam", 1000),
    ],
)
def test_the_recipe_fits_the_number_of_images(num_images, name, epochs) -> None:
    recipe, parameters = fitted(Extent(num_images, 2), QUICK_COLOUR, {"num_sampled_classes": 3})
    assert (recipe["optimiser"]["name"], recipe["epochs"]) == (name, epochs)
    assert parameters == {"num_sampled_classes": 2}


def test_a_set_that_does_not_fit_is_told_before_a_run_is_started(data) -> None:
    with np.load(data / "grey.npz") as arrays:
        counted = {key: value + (key[0] == "y") for key, value in arrays.items()}
    np.savez(data / "grey.npz", **counted)
    with pytest.raises(InputError, match="those that occur are 1, 2, 3, 4, 5: subtract 1"):
        preset("grey", "pgd_at")


ATTACK = {"name": "fgsm", "parameters": {"epsilon": 8 / 255}}


@pytest.mark.slow
def test_a_quick_run_learns_from_few_images() -> None:
    values = preset("grey", "standard").model_dump(mode="json")
    values["evaluation"] |= {"attack": ATTACK, "test_attack": ATTACK, "num_images": 20}
    card = checkpoint_info(train(RunConfig.create(values)).best).card
    assert card.clean_accuracy > 0.7  # of five classes


@pytest.mark.slow
def test_the_log_says_what_was_done_to_the_data_and_what_the_run_is_too_short_for(caplog) -> None:
    values = preset("things", "trades").model_dump(mode="json")
    values["epochs"] = 2
    values["method"]["parameters"] |= {"warmup_epochs": 1}
    values["schedule"] = {"name": "step", "milestones": [5]}
    values["evaluation"] |= {"attack": ATTACK, "test_attack": ATTACK}
    with caplog.at_level(logging.INFO):
        run = train(RunConfig.create(values))
    assert checkpoint_info(run.best).card.epoch == 2  # the first at the full radius
    assert "things: pictures are 64x64 pixels; used at 32x32, the parameter size" in caplog.text
    assert "schedule: milestones 5 come after the end of the run, epoch 2" in caplog.text
