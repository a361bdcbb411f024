"""Runs that the tests of the page Train look at."""

from dataclasses import replace
from pathlib import Path

from streamlit.testing.v1 import AppTest

from robust_core.checkpoints.card import Card, versions
from robust_core.checkpoints.catalog import save_checkpoint
from robust_core.config.presets import preset
from robust_core.config.run import RunConfig
from robust_core.models.base import create_model
from robust_core.training.directory import RunDirectory, RunStatus
from robust_core.training.metrics import EpochMetrics
from tests.app.page_driver import open_view
from tests.pretended import hold

NAMES = tuple("0123456789")


def make_run(
    status: RunStatus, *, num_epochs_done: int = 0, title: str = "", killed: bool = False
) -> RunDirectory:
    """A run that seems to have a process where its status says so, unless it was killed."""
    run = RunDirectory.create(preset("digits", "pgd_at").model_copy(update={"title": title}))
    run.write_metrics(
        [
            EpochMetrics(
                epoch=epoch,
                terms={"adversarial_cross_entropy": 2.0 / epoch},
                clean_accuracy=1 - 0.5 / epoch,
                robust_accuracy=0.8 - 0.5 / epoch,
                num_images=180,
                learning_rate=0.01,
                seconds=2.0,
            )
            for epoch in range(1, num_epochs_done + 1)
        ]
    )
    run.write_status(replace(status, epoch=num_epochs_done, num_epochs=30))
    if status.active and not killed:
        hold(run)
    return run


def give_model(path: Path, config: RunConfig, clean_accuracy: float = 0.975) -> None:
    model = create_model("small_cnn", (1, 32, 32), 10)
    attack, robust = config.test_attack(), min(0.8, clean_accuracy)
    card = {
        "split": "test",
        "num_images": 360,
        "clean_accuracy": clean_accuracy,
        "clean_interval": [clean_accuracy - 0.02, clean_accuracy + 0.01],
        "robust": [
            {
                "attack": {"name": attack.name, "parameters": attack.model_dump(mode="json")},
                "accuracy": robust,
                "interval": [robust - 0.04, robust + 0.04],
                "num_images": 360,
            }
        ],
        "epoch": 30,
        "seed": 0,
        "versions": versions(),
    }
    save_checkpoint(path, model, config=config, class_names=NAMES, epoch=30, card=Card.create(card))


def open_page(**query: str) -> AppTest:
    return open_view("train", query)
